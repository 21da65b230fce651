//! What keys open: as little of it as shows every scope.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use tower_api_key::OrganizationId;
use tower_api_key::key::{KeyId, RandomError};
use utoipa::ToSchema;

use crate::database::Database;
use crate::reply::{ApiError, in_time};
use crate::time::rfc3339;

/// The data of each organization, one JSON document each, which is enough for an example. There is no way from one
/// to another: a request names the organization of its key and sees nothing else.
#[derive(Clone)]
pub(crate) struct Data(Database);

#[derive(Serialize, Deserialize)]
pub(crate) struct Organization {
    /// The user who signed up, which is how paths name the owner of a dataset.
    pub(crate) owner: String,
    pub(crate) datasets: Vec<Dataset>,
    /// Those of all datasets.
    pub(crate) items: Vec<Item>,
    pub(crate) projects: Vec<Project>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) exports: Vec<Export>,
}

#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Dataset {
    #[schema(format = "uuid")]
    pub(crate) uid: String,
    pub(crate) name: String,
    pub(crate) slug: String,
    pub(crate) owner_name: String,
    pub(crate) data_type: String,
    pub(crate) visibility: String,
    pub(crate) item_count: usize,
    #[schema(format = "date-time")]
    pub(crate) created_at: String,
}

#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Item {
    #[schema(format = "uuid")]
    uid: String,
    pub(crate) key: String,
    pub(crate) dataset: String,
    #[schema(format = "date-time")]
    created_at: String,
}

impl Item {
    pub(crate) fn new(dataset: &Dataset, key: impl Into<String>) -> Result<Self, RandomError> {
        let created_at = rfc3339(SystemTime::now());
        Ok(Self { uid: new_uid()?, key: key.into(), dataset: dataset.uid.clone(), created_at })
    }
}

/// What an export contains: the items of its dataset, or of all datasets for the export of a project.
#[derive(Serialize, ToSchema)]
pub(crate) struct ExportFile {
    pub(crate) export: Export,
    pub(crate) items: Vec<Item>,
}

#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Project {
    #[schema(format = "uuid")]
    pub(crate) uid: String,
    name: String,
    status: String,
    #[schema(format = "date-time")]
    created_at: String,
}

#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Task {
    #[schema(format = "uuid")]
    pub(crate) uid: String,
    #[serde(rename = "type")]
    kind: String,
    name: String,
    status: String,
    project: String,
    #[schema(format = "date-time")]
    created_at: String,
}

#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub(crate) struct Export {
    #[schema(format = "uuid")]
    pub(crate) uid: String,
    /// There is nothing to wait for: `exported` is the status at which clients stop polling.
    pub(crate) status: String,
    pub(crate) dataset: Option<String>,
    pub(crate) project: Option<String>,
    #[schema(format = "date-time")]
    pub(crate) created_at: String,
}

const READ: &str = "SELECT data FROM avala_accounts WHERE organization = $1";

const CHANGE: &str = "UPDATE avala_accounts SET data = $3 WHERE organization = $1 AND data = $2 RETURNING organization";

impl Data {
    pub(crate) const fn new(database: Database) -> Self {
        Self(database)
    }

    pub(crate) async fn read(&self, id: &OrganizationId) -> Result<Organization, ApiError> {
        parse(&self.document(id).await?)
    }

    /// Does this work on the data of one organization. It is done again where another request, maybe in another
    /// process, has changed the data in the meantime. When it fails, nothing is changed.
    pub(crate) async fn change<T>(
        &self,
        id: &OrganizationId,
        mut work: impl FnMut(&mut Organization) -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        loop {
            let old = self.document(id).await?;
            let mut organization = parse(&old)?;
            let done = work(&mut organization)?;
            let new = serde_json::to_string(&organization).map_err(ApiError::internal)?;
            if !in_time(self.0.run(CHANGE, &[id.as_str(), &old, &new])).await?.is_empty() {
                return Ok(done);
            }
        }
    }

    /// Returns not found for an organization that never signed up.
    async fn document(&self, id: &OrganizationId) -> Result<String, ApiError> {
        let rows = in_time(self.0.run(READ, &[id.as_str()])).await?;
        rows.into_iter().flatten().next().ok_or(ApiError::NOT_FOUND)
    }
}

/// An unreadable document was written by hand: the client gets a 503 until it is corrected.
fn parse(document: &str) -> Result<Organization, ApiError> {
    serde_json::from_str(document).map_err(ApiError::unavailable)
}

impl Organization {
    /// What every signup begins with: a dataset with three items, a project and a task of its own.
    pub(crate) fn for_signup(owner: &str) -> Result<Self, RandomError> {
        let now = rfc3339(SystemTime::now());
        let mut dataset = Dataset {
            uid: new_uid()?,
            name: "First drive".into(),
            slug: "first-drive".into(),
            owner_name: owner.into(),
            data_type: "image".into(),
            visibility: "private".into(),
            item_count: 0,
            created_at: now.clone(),
        };
        let mut items = Vec::new();
        for number in 1..=3 {
            items.push(Item::new(&dataset, format!("frames/{number:04}.jpg"))?);
        }
        dataset.item_count = items.len();
        let project =
            Project { uid: new_uid()?, name: "Label cars".into(), status: "active".into(), created_at: now.clone() };
        let task = Task {
            uid: new_uid()?,
            kind: "image".into(),
            name: "Label frames 1 to 3".into(),
            status: "pending".into(),
            project: project.uid.clone(),
            created_at: now,
        };
        Ok(Self {
            owner: owner.into(),
            datasets: vec![dataset],
            items,
            projects: vec![project],
            tasks: vec![task],
            exports: Vec::new(),
        })
    }
}

/// A random UUID. The ids of keys are just that.
pub(crate) fn new_uid() -> Result<String, RandomError> {
    Ok(KeyId::random()?.to_string())
}
