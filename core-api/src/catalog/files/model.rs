//! An import and its report as they are shown.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use shared::ids::ImportId;
use utoipa::{IntoParams, ToSchema};

/// A file of products on its way into the catalog.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Import {
    /// Its id.
    pub id: ImportId,
    /// How far it is.
    pub status: ImportStatus,
    /// Lines below the header.
    pub total_lines: i32,
    /// Lines that are done with: the sum of the next four.
    pub done_lines: i32,
    /// Lines that added a variant.
    pub created: i32,
    /// Lines that changed something.
    pub updated: i32,
    /// Lines that said what is so already.
    pub unchanged: i32,
    /// Lines that changed nothing because something is wrong with them.
    pub refused: i32,
    /// When it was sent.
    pub created_at: DateTime<Utc>,
    /// When it was done with.
    pub finished_at: Option<DateTime<Utc>>,
}

/// How far an import is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum ImportStatus {
    /// Nothing of it is done.
    Queued,
    /// Some of it is.
    Running,
    /// All of it is.
    Done,
}

/// What became of a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub enum Outcome {
    /// It added a variant.
    Created,
    /// It changed something.
    Updated,
    /// It said what is so already.
    Unchanged,
    /// It changed nothing: see `code`, `field` and `detail`.
    Refused,
}

impl Outcome {
    /// Its name in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

/// One line of an import's report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReportLine {
    /// Its number as a spreadsheet shows it: the header is 1.
    pub line: i32,
    /// Its SKU, as far as there is one.
    pub sku: String,
    /// What became of it.
    pub outcome: Outcome,
    /// Why it was refused: a code as in problem details.
    pub code: Option<String>,
    /// The column at fault.
    pub field: Option<String>,
    /// What is wrong, in words.
    pub detail: Option<String>,
}

/// What an export has.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExportFilter {
    /// With how many units there are: `on_hand` to be changed, and `on_hand_was` to be left as
    /// it is, so that an import changes stock only where it has not changed meanwhile.
    pub stock: Option<bool>,
}

/// A page of a report.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = ImportReport)]
pub struct Report {
    /// Lines, in the order of the file.
    pub items: Vec<ReportLine>,
    /// Give it as `cursor` for the next page; null: this was the last for now.
    pub next_cursor: Option<i32>,
}

/// Which lines of a report.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReportFilter {
    /// Of this outcome; absent: all.
    #[param(inline)]
    pub outcome: Option<Outcome>,
    /// The `next_cursor` of the page before; none for the first.
    pub cursor: Option<i32>,
    /// Lines at most.
    #[param(minimum = 1, maximum = 100, default = 20)]
    pub limit: Option<i64>,
}
