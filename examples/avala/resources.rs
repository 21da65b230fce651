//! What a key may read and make. Each handler works on the organization of the key that called it.

use std::time::SystemTime;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde::Serialize;
use serde_json::json;
use tower_api_key::scope::{ScopeSet, avala};
use tower_api_key::{Access, ApiKey, Scope};
use utoipa::ToSchema;

use crate::data::{Data, Dataset, Export, ExportFile, Item, Organization, Project, Task, new_uid};
use crate::form::Form;
use crate::listing::{Listing, Page};
use crate::reply::{ApiError, Named};
use crate::time::rfc3339;

pub(crate) const LONGEST_NAME: usize = 255;
/// Of the words for a data type and a visibility.
pub(crate) const LONGEST_KIND: usize = 50;
pub(crate) const LONGEST_UID: usize = 100;

type Made<T> = Result<(StatusCode, Json<T>), ApiError>;
type Read<T> = Result<Json<T>, ApiError>;

pub(crate) mod datasets {
    use super::*;

    pub(crate) async fn list(key: ApiKey, data: State<Data>, listing: Listing) -> Read<Page<Dataset>> {
        let all = data.read(key.organization()).await?.datasets;
        listing.page(filtered(all, &listing, &["name", "data_type", "visibility"]))
    }

    pub(crate) async fn read(key: ApiKey, data: State<Data>, Named(uid): Named<String>) -> Read<Dataset> {
        one(data.read(key.organization()).await?.datasets.into_iter().find(|dataset| dataset.uid == uid))
    }

    pub(crate) async fn items(
        key: ApiKey,
        data: State<Data>,
        Named((owner, slug)): Named<(String, String)>,
        listing: Listing,
    ) -> Read<Page<Item>> {
        let Organization { owner: known_as, datasets, mut items, .. } = data.read(key.organization()).await?;
        let dataset = datasets.into_iter().find(|dataset| known_as == owner && dataset.slug == slug);
        let dataset = dataset.ok_or(ApiError::NOT_FOUND)?.uid;
        items.retain(|item| item.dataset == dataset);
        listing.page(items)
    }

    pub(crate) async fn create(key: ApiKey, data: State<Data>, request: Request) -> Made<Dataset> {
        let mut form = Form::read(request).await?;
        let name = form.text("name", LONGEST_NAME);
        let slug = form.optional_text("slug", LONGEST_NAME).unwrap_or_else(|| slug_of(&name));
        if !name.is_empty() && !is_slug(&slug) {
            form.wrong("slug", NO_SLUG);
        }
        let data_type = form.optional_text("data_type", LONGEST_KIND).unwrap_or_else(|| "image".into());
        let visibility = form.optional_text("visibility", LONGEST_KIND).unwrap_or_else(|| "private".into());
        form.check()?;

        let (uid, created_at) = (new_uid().map_err(ApiError::internal)?, rfc3339(SystemTime::now()));
        let owner_name = String::new();
        let mut dataset = Dataset { uid, name, slug, owner_name, data_type, visibility, item_count: 0, created_at };
        let change = data.change(key.organization(), |organization| {
            is_free(organization, &dataset)?;
            dataset.owner_name.clone_from(&organization.owner);
            organization.datasets.push(dataset.clone());
            Ok(())
        });
        change.await?;
        Ok((StatusCode::CREATED, Json(dataset)))
    }

    /// Changes what the body names, and leaves the rest.
    pub(crate) async fn update(
        key: ApiKey,
        data: State<Data>,
        Named(uid): Named<String>,
        request: Request,
    ) -> Read<Dataset> {
        let mut form = Form::read(request).await?;
        let (name, slug) = (form.optional_text("name", LONGEST_NAME), form.optional_text("slug", LONGEST_NAME));
        if name.as_ref().is_some_and(|name| name.trim().is_empty()) {
            form.wrong("name", "This field may not be blank.");
        }
        if slug.as_ref().is_some_and(|slug| !is_slug(slug)) {
            form.wrong("slug", NO_SLUG);
        }
        let data_type = form.optional_text("data_type", LONGEST_KIND);
        let visibility = form.optional_text("visibility", LONGEST_KIND);
        form.check()?;

        let change = data.change(key.organization(), |organization| {
            let place = place(organization, &uid)?;
            let mut dataset = organization.datasets[place].clone();
            let changes = [
                (&mut dataset.name, &name),
                (&mut dataset.slug, &slug),
                (&mut dataset.data_type, &data_type),
                (&mut dataset.visibility, &visibility),
            ];
            for (field, new) in changes {
                field.clone_from(new.as_ref().unwrap_or(&field.clone()));
            }
            is_free(organization, &dataset)?;
            organization.datasets[place] = dataset.clone();
            Ok(dataset)
        });
        change.await.map(Json)
    }

    /// Deletes the dataset and its items.
    pub(crate) async fn delete(
        key: ApiKey,
        data: State<Data>,
        Named(uid): Named<String>,
    ) -> Result<StatusCode, ApiError> {
        let change = data.change(key.organization(), |organization| {
            let place = place(organization, &uid)?;
            organization.datasets.remove(place);
            organization.items.retain(|item| item.dataset != uid);
            Ok(StatusCode::NO_CONTENT)
        });
        change.await
    }

    pub(crate) async fn upload(
        key: ApiKey,
        data: State<Data>,
        Named(uid): Named<String>,
        request: Request,
    ) -> Made<Item> {
        let mut form = Form::read(request).await?;
        let name = form.text("key", LONGEST_NAME);
        form.check()?;

        let change = data.change(key.organization(), |organization| {
            let place = place(organization, &uid)?;
            if organization.items.iter().any(|item| item.dataset == uid && item.key == name) {
                return Err(ApiError::field("key", "An item with this key exists already."));
            }
            let item = Item::new(&organization.datasets[place], &*name).map_err(ApiError::internal)?;
            organization.datasets[place].item_count += 1;
            organization.items.push(item.clone());
            Ok(item)
        });
        Ok((StatusCode::CREATED, Json(change.await?)))
    }

    const NO_SLUG: &str = "Enter a valid slug of letters, digits, underscores and hyphens.";

    fn place(organization: &Organization, uid: &str) -> Result<usize, ApiError> {
        organization.datasets.iter().position(|dataset| dataset.uid == uid).ok_or(ApiError::NOT_FOUND)
    }

    fn is_free(organization: &Organization, dataset: &Dataset) -> Result<(), ApiError> {
        let is_other = |other: &Dataset| other.slug == dataset.slug && other.uid != dataset.uid;
        if organization.datasets.iter().any(is_other) {
            return Err(ApiError::field("slug", "A dataset with this slug exists already."));
        }
        Ok(())
    }

    fn is_slug(text: &str) -> bool {
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    }

    /// `Front camera, day 2` as `front-camera-day-2`.
    fn slug_of(name: &str) -> String {
        let words = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-")
    }
}

pub(crate) mod projects {
    use super::*;

    pub(crate) async fn list(key: ApiKey, data: State<Data>, listing: Listing) -> Read<Page<Project>> {
        listing.page(data.read(key.organization()).await?.projects)
    }
}

pub(crate) mod tasks {
    use super::*;

    pub(crate) async fn list(key: ApiKey, data: State<Data>, listing: Listing) -> Read<Page<Task>> {
        let all = data.read(key.organization()).await?.tasks;
        listing.page(filtered(all, &listing, &["project", "status"]))
    }

    pub(crate) async fn read(key: ApiKey, data: State<Data>, Named(uid): Named<String>) -> Read<Task> {
        one(data.read(key.organization()).await?.tasks.into_iter().find(|task| task.uid == uid))
    }
}

pub(crate) mod exports {
    use super::*;

    /// Of a dataset or a project of the same organization; any other one is not found.
    pub(crate) async fn create(key: ApiKey, data: State<Data>, request: Request) -> Made<Export> {
        let mut form = Form::read(request).await?;
        let (dataset, project) =
            (form.optional_text("dataset", LONGEST_UID), form.optional_text("project", LONGEST_UID));
        if dataset.is_none() && project.is_none() {
            form.wrong("dataset", "Give the uid of a dataset or of a project.");
        }
        form.check()?;

        let (uid, created_at) = (new_uid().map_err(ApiError::internal)?, rfc3339(SystemTime::now()));
        let export = Export { uid, status: "exported".into(), dataset, project, created_at };
        let change = data.change(key.organization(), |organization| {
            let Organization { datasets, projects, .. } = organization;
            let known = export.dataset.iter().all(|uid| datasets.iter().any(|dataset| dataset.uid == *uid))
                && export.project.iter().all(|uid| projects.iter().any(|project| project.uid == *uid));
            if !known {
                return Err(ApiError::NOT_FOUND);
            }
            organization.exports.push(export.clone());
            Ok(())
        });
        change.await?;
        Ok((StatusCode::CREATED, Json(export)))
    }

    pub(crate) async fn read(key: ApiKey, data: State<Data>, Named(uid): Named<String>) -> Read<Export> {
        one(data.read(key.organization()).await?.exports.into_iter().find(|export| export.uid == uid))
    }

    /// The items as they are now: every export of this server is complete.
    pub(crate) async fn download(key: ApiKey, data: State<Data>, Named(uid): Named<String>) -> Read<ExportFile> {
        let Organization { exports, mut items, .. } = data.read(key.organization()).await?;
        let export = exports.into_iter().find(|export| export.uid == uid).ok_or(ApiError::NOT_FOUND)?;
        if let Some(dataset) = &export.dataset {
            items.retain(|item| item.dataset == *dataset);
        }
        Ok(Json(ExportFile { export, items }))
    }
}

/// What a key may do. Clients read an empty list of scopes as "nothing", so that full access is written as all of
/// them.
#[derive(Serialize, ToSchema)]
pub(crate) struct Permissions {
    #[serde(rename = "type")]
    kind: &'static str,
    is_staff_privileged: bool,
    /// `live` or `test`; null for a key that was issued elsewhere.
    environment: Option<String>,
    scopes: Vec<String>,
    capabilities: Vec<String>,
    toolsets: Vec<String>,
}

pub(crate) async fn permissions(key: ApiKey) -> Json<Permissions> {
    let all = || ScopeSet::from(avala::ALL);
    let scopes = match key.access() {
        Access::Full => all(),
        Access::Scoped(scopes) => scopes.clone(),
    };
    Json(Permissions {
        kind: "customer",
        is_staff_privileged: false,
        environment: key.record().environment().map(ToString::to_string),
        scopes: scopes.iter().map(Scope::to_string).collect(),
        capabilities: Vec::new(),
        toolsets: Vec::new(),
    })
}

fn one<T>(found: Option<T>) -> Read<T> {
    found.map(Json).ok_or(ApiError::NOT_FOUND)
}

/// Those of `all` that have, in each of these fields, the value that the query names for it.
fn filtered<T: Serialize>(mut all: Vec<T>, listing: &Listing, fields: &[&str]) -> Vec<T> {
    for &field in fields {
        if let Some(asked) = listing.parameter(field) {
            all.retain(|entry| json!(entry)[field] == asked);
        }
    }
    all
}
