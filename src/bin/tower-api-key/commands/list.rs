use std::sync::Arc;
use std::time::SystemTime;

use clap::Args;
use tower_api_key::key::{Environment, KeyRecord, KeyStatus};
use tower_api_key::store::ListKeys;

use crate::args::Options;
use crate::failure::Failure;
use crate::output::{Output, note};
use crate::shared_args::{OneKey, Whose};
use crate::table::Table;
use crate::view::{self, KeyView};
use crate::{database, values};

/// List keys, the newest first
///
/// A key is listed if it matches every filter.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    whose: Whose,

    /// Only keys with this status: active, suspended, expired or revoked
    #[arg(long)]
    status: Option<KeyStatus>,

    /// Only keys for this environment
    #[arg(long, value_name = "NAME")]
    environment: Option<Environment>,

    /// Only keys whose name or hint contains this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,

    /// Only keys that this actor created
    #[arg(long, value_name = "ACTOR")]
    created_by: Option<String>,

    /// Only keys that expire before this time
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    expires_before: Option<SystemTime>,

    /// At most this many keys, by default all
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Show all about one key, but never the key itself
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    key: OneKey,
}

impl Show {
    pub(crate) async fn run(self, options: &Options) -> Result<(), Failure> {
        let keys = database::keys(options).await?;
        let record = keys.get(&self.key.organization, self.key.id).await?;
        let mut out = Output::new(options.json);
        view::write(&mut out, &record)?;
        out.finish()
    }
}

impl List {
    pub(crate) async fn run(self, options: &Options) -> Result<(), Failure> {
        let keys = database::keys(options).await?;
        let (mut query, mut left) = (self.query(), self.limit.unwrap_or(usize::MAX));
        let (mut out, mut lines) = (Output::new(options.json), Lines::new(self.whose.all_organizations));
        let mut count = 0;
        while left > 0 {
            query = query.with_limit(left.min(ListKeys::MAX_LIMIT));
            let page = match &self.whose.organization {
                Some(organization) => keys.list(organization, &query).await?,
                None => keys.list_all(&query).await?,
            };
            lines.write(&mut out, &page.keys)?;
            count += page.keys.len();
            left -= page.keys.len().min(left);
            let Some(next) = page.next else { break };
            query = query.with_after(next);
        }
        out.finish()?;
        if !options.json {
            note(&format!("{count} {}", if count == 1 { "key" } else { "keys" }));
        }
        Ok(())
    }

    fn query(&self) -> ListKeys {
        let mut query = ListKeys::new();
        if let Some(status) = self.status {
            query = query.with_status(status);
        }
        if let Some(environment) = &self.environment {
            query = query.with_environment(environment.clone());
        }
        if let Some(text) = &self.search {
            query = query.with_search(text);
        }
        if let Some(actor) = &self.created_by {
            query = query.with_created_by(&**actor);
        }
        if let Some(time) = self.expires_before {
            query = query.with_expires_before(time);
        }
        query
    }
}

/// Keys as they come: the rows of a table, or objects.
enum Lines {
    One(Table<8>),
    All(Table<9>),
}

impl Lines {
    const fn new(all_organizations: bool) -> Self {
        if all_organizations {
            Self::All(Table::new([
                "ID",
                "ORGANIZATION",
                "NAME",
                "HINT",
                "ACCESS",
                "STATUS",
                "CREATED",
                "EXPIRES",
                "LAST USED (UTC)",
            ]))
        } else {
            Self::One(Table::new(["ID", "NAME", "HINT", "ACCESS", "STATUS", "CREATED", "EXPIRES", "LAST USED (UTC)"]))
        }
    }

    fn write(&mut self, out: &mut Output, keys: &[Arc<KeyRecord>]) -> Result<(), Failure> {
        if out.is_json() {
            return keys.iter().try_for_each(|record| out.object(&KeyView::of(record)));
        }
        match self {
            Self::One(table) => table.write(out, &keys.iter().map(|record| cells(record)).collect::<Vec<_>>()),
            Self::All(table) => {
                let rows = keys.iter().map(|record| {
                    let [id, rest @ ..] = cells(record);
                    let [name, hint, access, status, created, expires, used] = rest;
                    [id, record.organization().to_string(), name, hint, access, status, created, expires, used]
                });
                table.write(out, &rows.collect::<Vec<_>>())
            }
        }
    }
}

fn cells(record: &KeyRecord) -> [String; 8] {
    let time = |time: Option<SystemTime>| time.map_or_else(|| "never".to_owned(), values::minute);
    [
        record.id().to_string(),
        record.name().to_owned(),
        record.hint().to_string(),
        view::access(record),
        record.status(SystemTime::now()).to_string(),
        values::minute(record.created_at()),
        time(record.valid_until()),
        time(record.last_used_at()),
    ]
}
