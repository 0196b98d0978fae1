//! What differs between two versions of a table, and which of it readers of both cannot live with.

use std::fmt;

use super::{ColumnDefinition, Definition, LevelDefinition, LevelSource, TableDefinition};
use crate::pipeline::FieldType;

/// One difference between two versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The table that it is about.
    pub table: String,
    /// What has changed.
    pub kind: ChangeKind,
}

/// What has changed in a table, from the older version to the newer one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    TableAdded,
    /// It is gone.
    TableRemoved,
    /// It has a column more.
    ColumnAdded(ColumnDefinition),
    /// It has a column less.
    ColumnRemoved(String),
    /// A column is written in other capitals.
    ColumnRespelt {
        /// The name in the older version.
        from: String,
        /// The name in the newer one.
        to: String,
    },
    /// Records may be without a column that they had to have.
    MadeOptional(String),
    /// Records must have a column that they could be without.
    MadeRequired(String),
    /// A column is of another type.
    TypeChanged {
        /// The column.
        column: String,
        /// Its type in the older version.
        from: FieldType,
        /// Its type in the newer one.
        to: FieldType,
    },
    /// Rows are partitioned by the time in another column.
    EventTimeChanged {
        /// The column in the older version.
        from: String,
        /// The column in the newer one.
        to: String,
    },
    /// The partition folders are other ones.
    PartitionChanged {
        /// Those of the older version.
        from: Vec<LevelDefinition>,
        /// Those of the newer one.
        to: Vec<LevelDefinition>,
    },
}

/// Everything that differs from the older version to the newer one, table by table. The order of columns is no
/// difference.
#[must_use]
pub fn changes(older: &Definition, newer: &Definition) -> Vec<Change> {
    let mut found = Vec::new();
    for (table, before) in &older.tables {
        let kinds = match newer.tables.get(table) {
            Some(after) => of_table(before, after),
            None => vec![ChangeKind::TableRemoved],
        };
        found.extend(kinds.into_iter().map(|kind| Change { table: table.clone(), kind }));
    }
    let added = newer.tables.keys().filter(|table| !older.tables.contains_key(*table));
    found.extend(added.map(|table| Change { table: table.clone(), kind: ChangeKind::TableAdded }));
    found
}

fn of_table(before: &TableDefinition, after: &TableDefinition) -> Vec<ChangeKind> {
    let mut kinds = Vec::new();
    let find = |table: &TableDefinition, name: &str| {
        table.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name)).cloned()
    };
    for column in &before.columns {
        match find(after, &column.name) {
            Some(now) => of_column(column, &now, &mut kinds),
            None => kinds.push(ChangeKind::ColumnRemoved(column.name.clone())),
        }
    }
    let added = after.columns.iter().filter(|column| find(before, &column.name).is_none());
    kinds.extend(added.cloned().map(ChangeKind::ColumnAdded));
    if before.event_time != after.event_time {
        let (from, to) = (before.event_time.clone(), after.event_time.clone());
        kinds.push(ChangeKind::EventTimeChanged { from, to });
    }
    if before.partition != after.partition {
        let (from, to) = (before.partition.clone(), after.partition.clone());
        kinds.push(ChangeKind::PartitionChanged { from, to });
    }
    kinds
}

fn of_column(before: &ColumnDefinition, after: &ColumnDefinition, kinds: &mut Vec<ChangeKind>) {
    if before.name != after.name {
        kinds.push(ChangeKind::ColumnRespelt { from: before.name.clone(), to: after.name.clone() });
    }
    if before.kind != after.kind {
        let (from, to) = (before.kind, after.kind);
        kinds.push(ChangeKind::TypeChanged { column: after.name.clone(), from, to });
    }
    match (before.required, after.required) {
        (true, false) => kinds.push(ChangeKind::MadeOptional(after.name.clone())),
        (false, true) => kinds.push(ChangeKind::MadeRequired(after.name.clone())),
        _ => {}
    }
}

impl Change {
    /// Why files of both versions cannot lie in one table, and what to do in place of it; `None`: they can.
    #[must_use]
    pub const fn refusal(&self) -> Option<&'static str> {
        match &self.kind {
            ChangeKind::ColumnAdded(ColumnDefinition { required: true, .. }) => Some(
                "older rows are without it, and so are records on their way: leave out `required = true`",
            ),
            ChangeKind::MadeRequired(_) => Some("older rows may be without it: leave out `required = true`"),
            ChangeKind::TypeChanged { from: FieldType::Int32, to: FieldType::Int64, .. } => None,
            ChangeKind::TypeChanged { .. } => Some(
                "only int32 becomes int64 without a loss for every reader: take the value in under another column name",
            ),
            ChangeKind::ColumnRespelt { .. } => Some(
                "some readers tell capitals apart and others do not: keep the name, or choose one that differs in more",
            ),
            ChangeKind::EventTimeChanged { .. } => Some(
                "the same folders would hold rows by two different times: give the table another name with `table`",
            ),
            ChangeKind::PartitionChanged { .. } => Some(
                "readers take all folders of a table for the same levels: give the table another name with `table`",
            ),
            ChangeKind::TableAdded
            | ChangeKind::TableRemoved
            | ChangeKind::ColumnAdded(_)
            | ChangeKind::ColumnRemoved(_)
            | ChangeKind::MadeOptional(_) => None,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = &self.table;
        match &self.kind {
            ChangeKind::TableAdded => write!(out, "table {table} added"),
            ChangeKind::TableRemoved => write!(out, "table {table} removed"),
            ChangeKind::ColumnAdded(ColumnDefinition { name, kind, required }) => {
                let need = if *required { "required " } else { "" };
                write!(out, "{table}.{name} added, {need}{}", kind.name())
            }
            ChangeKind::ColumnRemoved(column) => write!(out, "{table}.{column} removed"),
            ChangeKind::ColumnRespelt { from, to } => write!(out, "{table}.{from} respelt {to}"),
            ChangeKind::MadeOptional(column) => write!(out, "{table}.{column} made optional"),
            ChangeKind::MadeRequired(column) => write!(out, "{table}.{column} made required"),
            ChangeKind::TypeChanged { column, from, to } => {
                write!(out, "{table}.{column} changed from {} to {}", from.name(), to.name())
            }
            ChangeKind::EventTimeChanged { from, to } => {
                write!(out, "event time of {table} changed from {from} to {to}")
            }
            ChangeKind::PartitionChanged { from, to } => {
                write!(out, "partition of {table} changed from {} to {}", Levels(from), Levels(to))
            }
        }
    }
}

struct Levels<'l>(&'l [LevelDefinition]);

impl fmt::Display for Levels<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, level) in self.0.iter().enumerate() {
            let slash = if index == 0 { "" } else { "/" };
            match &level.source {
                LevelSource::Field(column) => write!(out, "{slash}{}={{{column}}}", level.name)?,
                LevelSource::Time(part) => write!(out, "{slash}{}={{{}}}", level.name, part.name())?,
            }
        }
        Ok(())
    }
}
