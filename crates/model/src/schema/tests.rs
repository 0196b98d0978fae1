//! Which versions fit beside which.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use super::*;
use crate::pipeline::Pipeline;

const FIELDS: &str = r#"
  { name = "trip_id", type = "int64", required = true },
  { name = "at", type = "timestamp", required = true },
  { name = "sent", type = "timestamp", required = true },
  { name = "seats", type = "int32" },
  { name = "zone", type = "string", required = true },
"#;

/// A version with these fields in place of those of the first.
fn version(number: u32, fields: &str) -> Definition {
    whole(number, fields, "event_time = \"at\"", "{ name = \"area\", field = \"zone\" }")
}

fn whole(number: u32, fields: &str, event_time: &str, partition: &str) -> Definition {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "id = 'rides'\nschema_version = {number}\n[events.ride]\nid = ['trip_id']\n{event_time}\nfields = [{fields}]\n\
         partition = [{partition}, {{ name = 'day', time = 'day' }}]\n"
    );
    std::fs::write(folder.path().join("pipeline.toml"), text).unwrap();
    Definition::of(&Pipeline::load(folder.path()).unwrap_or_else(|error| panic!("{error}")))
}

fn first() -> Definition {
    version(1, FIELDS)
}

fn history(definitions: &[Definition]) -> History {
    let add = |history: History, definition: &Definition| history.with(definition, 7).unwrap().unwrap();
    definitions.iter().fold(History::default(), add)
}

/// What differs from the first version, and what is refused of it.
fn from_first(newer: &Definition) -> (Vec<String>, usize) {
    let changes = changes(&first(), newer);
    let refused = changes.iter().filter(|change| change.refusal().is_some()).count();
    (changes.iter().map(Change::to_string).collect(), refused)
}

#[test]
fn columns_may_be_added_made_optional_widened_and_removed() {
    let cases = [
        (format!("{FIELDS} {{ name = 'fee', type = 'float64' }},"), "ride.fee added, float64"),
        (FIELDS.replace(r#""string", required = true"#, r#""string""#), "ride.zone made optional"),
        (FIELDS.replace("int32", "int64"), "ride.seats changed from int32 to int64"),
        (FIELDS.replace(r#"{ name = "seats", type = "int32" },"#, ""), "ride.seats removed"),
    ];
    for (fields, told) in cases {
        let newer = version(2, &fields);
        assert_eq!(from_first(&newer), (vec![told.to_owned()], 0));
        assert_eq!(history(&[first(), newer]).versions.len(), 2);
    }
}

#[test]
fn what_readers_cannot_put_together_is_refused_with_the_reason() {
    let cases = [
        (
            version(2, &format!("{FIELDS} {{ name = 'fee', type = 'float64', required = true }},")),
            "ride.fee added, required float64",
            "leave out `required = true`",
        ),
        (
            version(2, &FIELDS.replace(r#""int32""#, r#""int32", required = true"#)),
            "ride.seats made required",
            "older rows may be without it",
        ),
        (
            version(2, &FIELDS.replace("int32", "float64")),
            "ride.seats changed from int32 to float64",
            "another column name",
        ),
        (version(2, &FIELDS.replace("seats", "Seats")), "ride.seats respelt Seats", "tell capitals apart"),
        (
            whole(2, FIELDS, "event_time = \"sent\"", "{ name = \"area\", field = \"zone\" }"),
            "event time of ride changed from at to sent",
            "another name with `table`",
        ),
        (
            whole(2, FIELDS, "event_time = \"at\"", "{ name = \"area\", field = \"trip_id\" }"),
            "partition of ride changed from area={zone}/day={day} to area={trip_id}/day={day}",
            "another name with `table`",
        ),
    ];
    for (newer, change, fix) in cases {
        assert_eq!(from_first(&newer), (vec![change.to_owned()], 1));
        let said = history(&[first()]).with(&newer, 8).unwrap_err().to_string();
        assert!(
            said.contains(change) && said.contains(fix) && said.contains("from version 1 to 2"),
            "{said}"
        );
    }
}

#[test]
fn narrowing_is_refused_whichever_version_is_seen_first() {
    let (narrow, wide) = (version(2, FIELDS), version(1, &FIELDS.replace("int32", "int64")));
    for order in [[&narrow, &wide], [&wide, &narrow]] {
        let said = history(&[order[0].clone()]).with(order[1], 8).unwrap_err().to_string();
        assert!(said.contains("ride.seats changed from int64 to int32 from version 1 to 2"), "{said}");
    }
}

#[test]
fn a_removed_column_comes_back_as_it_was_and_as_nothing_else() {
    let without = version(2, &FIELDS.replace(r#"{ name = "seats", type = "int32" },"#, ""));
    let known = history(&[first(), without]);
    assert!(known.with(&version(3, FIELDS), 8).unwrap().is_some());
    let said = known.with(&version(3, &FIELDS.replace("int32", "string")), 8).unwrap_err().to_string();
    assert!(said.contains("changed from int32 to string from version 1 to 3"), "{said}");
}

#[test]
fn a_version_is_one_definition() {
    let known = history(&[first()]);
    assert_eq!(known.with(&first(), 8), Ok(None));
    let said = known.with(&version(1, &FIELDS.replace("int32", "int64")), 8).unwrap_err().to_string();
    assert!(said.contains("raise schema_version") && said.contains("ride.seats changed"), "{said}");
}

#[test]
fn the_order_of_columns_is_no_difference() {
    let mut lines: Vec<&str> = FIELDS.trim().lines().collect();
    lines.reverse();
    assert_eq!(history(&[first()]).with(&version(1, &lines.join("\n")), 8), Ok(None));
}

#[test]
fn an_older_version_may_be_at_work_beside_a_newer_one() {
    let newer = version(3, &format!("{FIELDS} {{ name = 'fee', type = 'float64' }},"));
    let known = history(&[newer, first()]);
    let numbers: Vec<u32> = known.versions.iter().map(|known| known.definition.version).collect();
    assert_eq!(numbers, [1, 3]);
    assert_eq!(known.with(&first(), 8), Ok(None));
    assert!(known.with(&version(2, FIELDS), 8).unwrap().is_some());
}

#[test]
fn a_column_that_is_looked_up_may_be_added_though_it_always_has_a_value() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("zones.csv"), "id,name\n1,north\n").unwrap();
    let write = |derived: &str, number: u32| {
        let text = format!(
            "id = 'rides'\nschema_version = {number}\n[tables.zones]\nfile = 'zones.csv'\nkey = 'id'\n[events.ride]\n\
             event_time = 'at'\nfields = [{FIELDS}]\n{derived}\npartition = [{{ name = 'day', time = 'day' }}]\n"
        );
        std::fs::write(folder.path().join("pipeline.toml"), text).unwrap();
        Definition::of(&Pipeline::load(folder.path()).unwrap_or_else(|error| panic!("{error}")))
    };
    let plain = write("", 1);
    let looked_up = write(
        "derived = [{ name = 'area', lookup = 'zones', key = 'seats', column = 'name', default = 'none' }]",
        2,
    );
    assert_eq!(history(&[plain, looked_up]).versions.len(), 2);
}

#[test]
fn what_several_versions_stand_against_is_told_once() {
    let fields = |fee: &str| format!("{FIELDS} {{ name = 'fee', type = '{fee}' }},");
    let known = history(&[first(), version(2, &fields("string")), version(3, &fields("string"))]);
    let Err(Refused::Incompatible { conflicts, .. }) = known.with(&version(4, &fields("bool")), 8) else {
        panic!("it is refused");
    };
    assert_eq!(conflicts.len(), 1);
    assert_eq!((conflicts[0].older, conflicts[0].newer), (3, 4));
}

#[test]
fn a_history_is_read_back_as_it_was_written() {
    let known = history(&[first(), version(2, &FIELDS.replace("int32", "int64"))]);
    let text = serde_json::to_string(&known).unwrap();
    assert_eq!(serde_json::from_str::<History>(&text).unwrap(), known);
    assert!(text.contains(r#"{"name":"day","time":"day"}"#), "{text}");
    assert!(text.contains(r#"{"name":"area","field":"zone"}"#), "{text}");
}
