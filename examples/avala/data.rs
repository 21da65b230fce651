//! What keys open: as little of it as shows every scope, and all in memory.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;
use tower_api_key::{KeyId, OrganizationId, RandomError};

use crate::time::rfc3339;

/// The data of each organization. There is no way from one to another: whoever asks names the organization of
/// their key and sees nothing else.
#[derive(Default)]
pub(crate) struct Data(Mutex<HashMap<OrganizationId, Organization>>);

#[derive(Default)]
pub(crate) struct Organization {
    /// The user who signed up, which is how paths name the owner of a dataset.
    pub(crate) owner: String,
    pub(crate) datasets: Vec<Dataset>,
    pub(crate) projects: Vec<Project>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) exports: Vec<Export>,
}

#[derive(Clone, Serialize)]
pub(crate) struct Dataset {
    pub(crate) uid: String,
    pub(crate) name: String,
    pub(crate) slug: String,
    pub(crate) owner_name: String,
    pub(crate) data_type: String,
    pub(crate) visibility: String,
    pub(crate) item_count: usize,
    pub(crate) created_at: String,
    #[serde(skip)]
    pub(crate) items: Vec<Item>,
}

#[derive(Clone, Serialize)]
pub(crate) struct Item {
    uid: String,
    key: String,
    dataset: String,
    created_at: String,
}

#[derive(Clone, Serialize)]
pub(crate) struct Project {
    pub(crate) uid: String,
    name: String,
    status: &'static str,
    created_at: String,
}

#[derive(Clone, Serialize)]
pub(crate) struct Task {
    pub(crate) uid: String,
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    status: &'static str,
    project: String,
    created_at: String,
}

#[derive(Clone, Serialize)]
pub(crate) struct Export {
    pub(crate) uid: String,
    /// There is nothing to wait for: `exported` is the status at which clients stop polling.
    pub(crate) status: &'static str,
    pub(crate) dataset: Option<String>,
    pub(crate) project: Option<String>,
    pub(crate) created_at: String,
}

impl Data {
    /// Works on the data of one organization; on nothing, where nobody signed up for it.
    pub(crate) fn of<T>(&self, organization: &OrganizationId, work: impl FnOnce(&mut Organization) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(organization) {
            Some(organization) => work(organization),
            None => work(&mut Organization::default()),
        }
    }

    pub(crate) fn add(&self, id: OrganizationId, organization: Organization) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id, organization);
    }
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
            items: Vec::new(),
        };
        for number in 1..=3 {
            dataset.items.push(Item {
                uid: new_uid()?,
                key: format!("frames/{number:04}.jpg"),
                dataset: dataset.uid.clone(),
                created_at: now.clone(),
            });
        }
        dataset.item_count = dataset.items.len();
        let project = Project { uid: new_uid()?, name: "Label cars".into(), status: "active", created_at: now.clone() };
        let task = Task {
            uid: new_uid()?,
            kind: "image",
            name: "Label frames 1 to 3".into(),
            status: "pending",
            project: project.uid.clone(),
            created_at: now,
        };
        Ok(Self {
            owner: owner.into(),
            datasets: vec![dataset],
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
