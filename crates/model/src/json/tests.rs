#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use proptest::prelude::*;

use super::*;

/// As deep as `serde_json` goes.
const SERDE: Limits = Limits { depth: 127 };

fn check(text: &[u8], limits: &Limits) -> Result<(), JsonError> {
    Cursor::new(text, limits)?.finish()
}

/// Rebuilds a document by way of the scanner alone, down to its leaves.
fn rebuild(value: Value<'_>) -> serde_json::Value {
    match value.kind {
        Kind::Null => serde_json::Value::Null,
        Kind::True => true.into(),
        Kind::False => false.into(),
        Kind::Number => serde_json::from_slice(value.raw).unwrap(),
        Kind::String { .. } => value.text().unwrap().into_owned().into(),
        Kind::Object => {
            let mut members = serde_json::Map::new();
            object(value.raw, &SERDE, |key, value| {
                members.insert(key.text().unwrap().into_owned(), rebuild(value));
                Ok::<(), JsonError>(())
            })
            .unwrap();
            members.into()
        }
        Kind::Array => {
            let mut elements = Vec::new();
            array(value.raw, &SERDE, |value| {
                elements.push(rebuild(value));
                Ok::<(), JsonError>(())
            })
            .unwrap();
            elements.into()
        }
    }
}

fn agrees_with_serde_json(text: &[u8]) {
    let ours = Cursor::new(text, &SERDE).and_then(|mut cursor| {
        let value = cursor.value()?;
        cursor.finish()?;
        Ok(value)
    });
    match (serde_json::from_slice::<serde_json::Value>(text), ours) {
        (Ok(theirs), Ok(ours)) => assert_eq!(rebuild(ours), theirs, "{:?}", String::from_utf8_lossy(text)),
        (Err(_), Err(error)) => assert!(error.offset() <= text.len()),
        // The one difference: numbers are not converted, so none is too large.
        (Err(theirs), Ok(_)) if theirs.to_string().starts_with("number out of range") => {}
        (theirs, ours) => {
            panic!("{:?}: serde_json says {theirs:?}, we say {ours:?}", String::from_utf8_lossy(text))
        }
    }
    // Never looking at a value finds the same faults as taking it.
    let entered = Cursor::new(text, &SERDE).and_then(|mut cursor| {
        match cursor.peek()? {
            Kind::Object => cursor.enter_object()?,
            Kind::Array => cursor.enter_array()?,
            _ => {}
        }
        cursor.finish()
    });
    assert_eq!(entered, check(text, &SERDE));
}

fn document() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        "[ -~]{0,90}".prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| members.into_iter().collect::<serde_json::Map<_, _>>().into()),
        ]
    })
}

/// Pieces from which texts are made that are nearly JSON.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec!["{", "}", "[", "]", ",", ":", "\"", " ", "\n", "\\", "\u{1}", "\u{7f}", "é", "-", "+", "."]),
        2 => prop::sample::select(vec!["\"a\"", "\"b\":", "null", "true", "false", "nul", "0", "-0", "01", "1.5", "1.", ".5", "1e5"]),
        2 => prop::sample::select(vec!["1E+5", "1e", "1e400", "\\u0041", "\\ud83d\\ude00", "\\ud83d", "\\ude00", "\\u12g4", "\\x", "\\/"]),
        1 => prop::sample::select(vec!["[]", "{}", "[1]", "{\"a\":1}", "\"long enough to leave the first words behind \\n and more of it\""]),
    ]
    .prop_map(str::to_owned)
}

/// Keys with their colons, few enough to be met again.
fn key() -> impl Strategy<Value = String> {
    let keys = ["a", "fare", "pickup_datetime", "tolls_amount_", "é"];
    prop::sample::select(keys.map(|key| format!("\"{key}\":")).to_vec())
}

/// Values, and what is nearly one.
fn scalar() -> impl Strategy<Value = String> {
    let odd =
        ["null", "true", "false", "nul", "tru", "[]", "{\"a\":1}", " 1", "1 ", "\"\\n\"", "\"\t\"", "\"", ""];
    prop_oneof![
        4 => "-?(0|[1-9][0-9]{0,20})([.][0-9]{1,20})?",
        2 => "-?[0-9]{0,3}[.eE+]?[0-9]{0,3}[eE]?[-+]?[0-9]{0,2}",
        2 => "\"[ -!#-Z^-~é]{0,40}\"",
        2 => prop::sample::select(odd.to_vec()).prop_map(str::to_owned),
    ]
}

fn separator() -> impl Strategy<Value = &'static str> {
    prop_oneof![9 => Just(","), 1 => prop::sample::select(vec!["", " ", ";", " ,", ", ", ",,", "}"])]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn accepts_and_reads_what_serde_json_writes(document in document(), pretty: bool) {
        let text = if pretty { serde_json::to_vec_pretty(&document) } else { serde_json::to_vec(&document) }.unwrap();
        agrees_with_serde_json(&text);
    }

    #[test]
    fn judges_damaged_documents_as_serde_json_does(document in document(), at: prop::sample::Index, byte: u8, cut: bool) {
        let mut text = serde_json::to_vec(&document).unwrap();
        let at = at.index(text.len());
        if cut { text.truncate(at) } else { text[at] = byte }
        agrees_with_serde_json(&text);
    }

    #[test]
    fn judges_what_is_nearly_json_as_serde_json_does(pieces in prop::collection::vec(piece(), 0..12)) {
        agrees_with_serde_json(pieces.concat().as_bytes());
        agrees_with_serde_json(format!("[{}]", pieces.concat()).as_bytes());
        agrees_with_serde_json(format!("[\"{}\"]", pieces.concat()).as_bytes());
    }

    #[test]
    fn judges_any_bytes_as_serde_json_does(text in prop::collection::vec(any::<u8>(), 0..64)) {
        agrees_with_serde_json(&text);
    }

    /// A member that is passed over in one go is the member that a walk finds, and the walk goes on as if it had
    /// been one all the way.
    #[test]
    fn scalars_are_what_a_walk_finds(members in prop::collection::vec((key(), scalar(), separator()), 0..6), other in (0..8_usize, key())) {
        let mut text = members.iter().fold("{".to_owned(), |text, (key, value, separator)| text + key + value + separator);
        let comma = text.ends_with(',');
        text.truncate(text.len() - usize::from(comma));
        text.push('}');
        let mut keys: Vec<String> = members.iter().map(|(key, ..)| key.clone()).collect();
        if let Some(key) = keys.get_mut(other.0) {
            *key = other.1;
        }
        let walk = |mut cursor: Cursor<'_>| {
            let mut found = Vec::new();
            while let Some(key) = cursor.next_key()? {
                let value = cursor.value()?;
                found.push((key.raw.to_vec(), value.kind, value.raw.to_vec()));
            }
            cursor.finish().map(|()| found)
        };
        let start = || {
            let mut cursor = Cursor::new(text.as_bytes(), &SERDE).unwrap();
            cursor.enter_object().map(|()| cursor)
        };
        let mut ahead = start().unwrap();
        let mut found = Vec::new();
        let count = ahead.scalars(keys.iter().map(String::as_bytes), |_, scalar| {
            let Scalar { kind, key_start, start, end, number } = scalar;
            found.push((text.as_bytes()[key_start..start - 1].to_vec(), kind, text.as_bytes()[start..end].to_vec()));
            if let Some(number) = number {
                let read: f64 = text[start..end].parse().unwrap();
                assert!(number.float().is_none_or(|float| float.to_bits() == read.to_bits()), "{text}");
                assert!(number.integer().is_none_or(|integer| Ok(integer) == text[start..end].parse()), "{text}");
            }
        });
        prop_assert_eq!(count, found.len());
        match walk(start().unwrap()) {
            Ok(all) => {
                found.extend(walk(ahead).unwrap());
                prop_assert_eq!(found, all);
            }
            Err(error) => prop_assert_eq!(walk(ahead), Err(error)),
        }
    }

    #[test]
    fn finds_the_first_special_byte_wherever_it_stands(before in 0_usize..300, special in prop::sample::select(vec![b'"', b'\\', 0, 0x1f])) {
        let mut text = vec![b'"'];
        text.extend((0..before).map(|index| [b' ', b'!', b'#', b'[', b']', b'~', 0x7f][index % 7]));
        text.extend([special, b'n', b'"']);
        let expected = match special {
            b'"' => Err(JsonError::TrailingData { offset: before + 2 }),
            b'\\' => Ok(()),
            _ => Err(JsonError::ControlCharacter { offset: before + 1 }),
        };
        prop_assert_eq!(check(&text, &SERDE), expected);
    }
}

#[test]
fn every_reason_comes_with_the_offset_where_it_was_found() {
    let cases: [(&[u8], JsonError); 18] = [
        (b"", JsonError::UnexpectedEnd { offset: 0 }),
        (b"{\"a\":\xff}", JsonError::NotUtf8 { offset: 5 }),
        (b"{\"a\" 1}", JsonError::UnexpectedByte { offset: 5 }),
        (b"{\"a\":1,}", JsonError::UnexpectedByte { offset: 7 }),
        (b"{,}", JsonError::UnexpectedByte { offset: 1 }),
        (b"[1 2]", JsonError::UnexpectedByte { offset: 3 }),
        (b"[1}", JsonError::UnexpectedByte { offset: 2 }),
        (b"[nulx]", JsonError::UnexpectedByte { offset: 4 }),
        (b"{\"a\":", JsonError::UnexpectedEnd { offset: 5 }),
        (b"[\"a", JsonError::UnexpectedEnd { offset: 3 }),
        (b"[[[[]]]]", JsonError::TooDeep { offset: 3 }),
        (b"{} {}", JsonError::TrailingData { offset: 3 }),
        (b"[\"ab\\x\"]", JsonError::BadEscape { offset: 4 }),
        (b"[\"\\ud800\"]", JsonError::BadEscape { offset: 2 }),
        (b"[\"\\udc00\\ud800\"]", JsonError::BadEscape { offset: 2 }),
        (b"[12, 01]", JsonError::BadNumber { offset: 5 }),
        (b"[1.x]", JsonError::BadNumber { offset: 1 }),
        (b"[\"a\tb\"]", JsonError::ControlCharacter { offset: 3 }),
    ];
    for (text, expected) in cases {
        assert_eq!(check(text, &Limits { depth: 3 }), Err(expected), "{}", String::from_utf8_lossy(text));
    }
}

#[test]
fn nesting_costs_no_machine_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let text = format!("{}0{}", open.repeat(200_000), close.repeat(200_000));
        assert_eq!(check(text.as_bytes(), &Limits { depth: 200_000 }), Ok(()));
        let too_deep = JsonError::TooDeep { offset: 64 * open.len() };
        assert_eq!(check(text.as_bytes(), &Limits::default()), Err(too_deep));
    }
    let mixed = format!("{}0{}", "[{\"a\":".repeat(500), "}]".repeat(500));
    assert_eq!(check(mixed.as_bytes(), &Limits { depth: 1000 }), Ok(()));
    let crossed = format!("{}0{}", "[{\"a\":".repeat(500), "]}".repeat(500));
    assert!(check(crossed.as_bytes(), &Limits { depth: 1000 }).is_err());
}

#[test]
fn strings_are_unescaped_only_where_there_are_escapes() {
    let texts: Vec<_> = [r#""plain é""#, r#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00z""#]
        .into_iter()
        .map(|text| Cursor::new(text.as_bytes(), &SERDE).unwrap().value().unwrap())
        .collect();
    assert!(matches!(texts[0].text(), Some(Cow::Borrowed("plain é"))));
    assert_eq!(texts[0].unescaped(), Some("plain é".as_bytes()));
    assert_eq!(texts[1].text().unwrap(), "a\"\\/\u{8}\u{c}\n\r\té😀z");
    assert_eq!(texts[1].unescaped(), None);
    assert_eq!(Value { kind: Kind::Number, raw: b"1" }.text(), None);
}

#[test]
fn values_made_by_hand_never_panic() {
    for raw in [
        &b""[..],
        b"\"",
        b"\"\\\"",
        b"\"\\u12\"",
        b"\"\\ud800\\u0041\"",
        b"\"\xff\"",
        "\"\\u000é\"".as_bytes(),
    ] {
        assert_eq!(Value { kind: Kind::String { escaped: true }, raw }.text(), None, "{raw:?}");
    }
}

#[test]
fn a_cursor_skips_what_it_is_not_asked_for() {
    let text = br#" {"skip": {"a": [1, {"b": "]"}]}, "rows": [[1, 2, 3], {"x": 4}, 5], "rest": [6]} "#;
    let mut cursor = Cursor::new(text, &SERDE).unwrap();
    cursor.enter_object().unwrap();
    assert_eq!(cursor.next_key().unwrap().unwrap().raw, b"\"skip\"");
    assert_eq!(cursor.next_key().unwrap().unwrap().raw, b"\"rows\"");
    assert_eq!(cursor.peek(), Ok(Kind::Array));
    cursor.enter_array().unwrap();
    assert!(cursor.next_element().unwrap());
    cursor.enter_array().unwrap();
    assert!(cursor.next_element().unwrap());
    assert_eq!(cursor.value().unwrap().raw, b"1");
    cursor.leave().unwrap();
    assert!(cursor.next_element().unwrap());
    assert_eq!(cursor.value().unwrap().raw, br#"{"x": 4}"#);
    assert!(cursor.next_element().unwrap());
    assert!(!cursor.next_element().unwrap());
    assert_eq!(cursor.next_key().unwrap().unwrap().text().unwrap(), "rest");
    cursor.finish().unwrap();
}

#[test]
fn a_cursor_answers_wrong_use_with_an_error() {
    let mut cursor = Cursor::new(b"[1]", &SERDE).unwrap();
    assert!(cursor.next_element().is_err(), "nothing is open");
    assert!(cursor.enter_object().is_err(), "an array is due");
    cursor.enter_array().unwrap();
    assert!(cursor.value().is_err(), "no element has been asked for");
    assert!(cursor.next_key().is_err(), "an array has no keys");
}

#[test]
fn the_first_error_of_a_callback_ends_the_walk() {
    let mut seen = 0;
    let result = object(br#"{"a":1,"b":2,"c":}"#, &SERDE, |_, _| {
        seen += 1;
        if seen == 2 { Err(JsonError::BadNumber { offset: 77 }) } else { Ok(()) }
    });
    assert_eq!((seen, result), (2, Err(JsonError::BadNumber { offset: 77 })));
}
