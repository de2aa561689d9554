//! Ranges against tables from CR 1.3 and against an independent npm implementation.

use marram_version::{Requirement, Version};
use proptest::prelude::*;

fn requirement(text: &str) -> Requirement {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn version(text: &str) -> Version {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// CR 1.3: every form of the grammar; CR 5.3: how clients print it.
#[test]
fn each_form_means_and_prints_what_npm_says() {
    #[rustfmt::skip]
    let table: &[(&str, &str, &[&str], &[&str])] = &[
        ("1.2.3", "=1.2.3", &["1.2.3", "1.2.3+b"], &["1.2.4", "1.2.3-rc"]),
        ("=1.2.3", "=1.2.3", &["1.2.3"], &["1.2.2"]),
        ("==1.2.3", "=1.2.3", &["1.2.3"], &["1.2.2"]),
        ("v1.2.3", "=1.2.3", &["1.2.3"], &["1.2.2"]),
        (">1.2", ">=1.3.0", &["1.3.0"], &["1.2.9"]),
        (">1.2.0", ">1.2.0", &["1.2.1"], &["1.2.0"]),
        (">=1.2.3", ">=1.2.3", &["1.2.3", "9.0.0"], &["1.2.2", "1.3.0-a"]),
        (">= 1.2.3", ">=1.2.3", &["1.2.3"], &["1.2.2"]),
        ("<2", "<2.0.0", &["1.9.9"], &["2.0.0", "2.0.0-a"]),
        ("<=2.0.0", "<=2.0.0", &["2.0.0"], &["2.0.1"]),
        ("<=1.2", "<1.3.0", &["1.2.9"], &["1.3.0"]),
        ("^1.2.3", ">=1.2.3 <2.0.0", &["1.2.3", "1.9.0"], &["2.0.0", "1.2.2", "2.0.0-a", "1.5.0-a"]),
        ("^0.2.3", ">=0.2.3 <0.3.0", &["0.2.9"], &["0.3.0"]),
        ("^0.0.3", ">=0.0.3 <0.0.4", &["0.0.3"], &["0.0.4"]),
        ("^0.0", ">=0.0.0 <0.1.0", &["0.0.9"], &["0.1.0"]),
        ("^0", ">=0.0.0 <1.0.0", &["0.9.9"], &["1.0.0"]),
        ("^2.0.0", ">=2.0.0 <3.0.0", &["2.17.0"], &["3.0.0"]),
        ("~1.2.3", ">=1.2.3 <1.3.0", &["1.2.9"], &["1.3.0"]),
        ("~1", ">=1.0.0 <2.0.0", &["1.9.0"], &["2.0.0"]),
        ("1.2.x", ">=1.2.0 <1.3.0", &["1.2.0"], &["1.3.0"]),
        ("1.x", ">=1.0.0 <2.0.0", &["1.0.0"], &["2.0.0"]),
        ("*", ">=0.0.0", &["0.0.0", "9.9.9"], &["1.0.0-a"]),
        ("", ">=0.0.0", &["1.0.0"], &["1.0.0-a"]),
        (">*", "<0.0.0", &[], &["0.0.0", "0.0.0-0", "1.0.0"]),
        ("1.2.3 - 2.3.4", ">=1.2.3 <=2.3.4", &["2.3.4"], &["2.3.5"]),
        ("1.2 - 2", ">=1.2.0 <3.0.0", &["2.9.9"], &["3.0.0"]),
        (">=1.0.0 <2.0.0", ">=1.0.0 <2.0.0", &["1.5.0"], &["2.0.0"]),
        (">=1.0.0,<2.0.0", ">=1.0.0 <2.0.0", &["1.5.0"], &["2.0.0"]),
        ("^1.0.0 || ^3.0.0", ">=1.0.0 <2.0.0 || >=3.0.0 <4.0.0", &["1.5.0", "3.1.0"], &["2.0.0"]),
        (">=1.2.3-beta.2", ">=1.2.3-beta.2", &["1.2.3-beta.3", "1.2.3", "2.0.0"], &["1.2.4-beta.3", "1.2.3-beta.1"]),
        ("^1.2.3-beta.2", ">=1.2.3-beta.2 <2.0.0", &["1.2.3-rc", "1.3.0"], &["1.3.0-rc", "2.0.0-rc"]),
    ];
    for (text, printed, inside, outside) in table {
        let read = requirement(text);
        assert_eq!(read.to_string(), *printed, "{text}");
        for one in *inside {
            assert!(read.matches(&version(one)), "{one} satisfies {text}");
        }
        for one in *outside {
            assert!(!read.matches(&version(one)), "{one} does not satisfy {text}");
        }
        let again = requirement(printed);
        for one in inside.iter().chain(*outside) {
            assert_eq!(again.matches(&version(one)), read.matches(&version(one)), "{one}: {text} printed as {printed}");
        }
    }
}

/// CR 1.3: what is no range says which part is wrong.
#[test]
fn malformed_ranges_name_the_part() {
    for (text, part) in [
        ("latest", "latest"),
        ("^1.2.3 nope", "nope"),
        ("1.2.3.4", "1.2.3.4"),
        ("01.2.3", "01.2.3"),
        ("=>1.0.0", "=>1.0.0"),
        ("^", "^"),
        ("1.2.3 -", "-"),
        ("1.2-beta", "1.2-beta"),
        ("^9007199254740992.0.0", "9007199254740992.0.0"),
        ("<=9007199254740991", "<=9007199254740991"),
    ] {
        let error = text.parse::<Requirement>().unwrap_err();
        assert!(error.to_string().starts_with(&format!("`{part}` is not a version comparator")), "{text}: {error}");
    }
    assert!("1".repeat(2000).parse::<Requirement>().is_err());
}

/// CR 4.7: requirements of several dependents are joined; whether they can agree at all is known without a catalogue.
#[test]
fn agreement_is_found_at_the_bounds() {
    for (a, b, agree) in [
        ("^1.0.0", "^1.5.0", true),
        ("^1.0.0", "^2.0.0", false),
        ("=1.2.3", ">=1.0.0 <2.0.0", true),
        (">1.2.3 <1.2.4", "*", false),
        (">1.2.3-a <1.2.3-b", ">=1.2.3-a", true),
        (">=1.2.3-a", "<1.2.3", false),
        ("^1.0.0 || ^3.0.0", "^3.2.0", true),
        ("<1.0.0", "*", true),
        (">*", "*", false),
    ] {
        assert_eq!(requirement(a).intersects(&requirement(b)), agree, "{a} and {b}");
        assert_eq!(requirement(b).intersects(&requirement(a)), agree, "{b} and {a}");
    }
}

fn pre() -> impl Strategy<Value = String> {
    prop_oneof![4 => Just(String::new()), 1 => "-(alpha|beta|rc)(\\.[0-2])?"]
}

fn full() -> impl Strategy<Value = String> {
    (0..3u8, 0..3u8, 0..4u8, pre()).prop_map(|(a, b, c, pre)| format!("{a}.{b}.{c}{pre}"))
}

fn part() -> impl Strategy<Value = String> {
    prop_oneof![4 => full(), 1 => "[0-2]", 1 => "[0-2]\\.[0-2]", 1 => "[0-2]\\.x", 1 => "[0-2]\\.[0-2]\\.\\*"]
}

fn conjunction() -> impl Strategy<Value = String> {
    let operator = prop_oneof![
        3 => Just(""), 1 => Just("="), 1 => Just(">"), 2 => Just(">="), 1 => Just("<"), 1 => Just("<="), 2 => Just("^"), 2 => Just("~")
    ];
    let simple = (operator, part()).prop_map(|(operator, part)| format!("{operator}{part}"));
    prop_oneof![
        3 => prop::collection::vec(simple, 1..3).prop_map(|all| all.join(" ")),
        1 => (full(), full()).prop_map(|(a, b)| format!("{a} - {b}")),
        // a star stands alone: with an operator or a neighbour the oracle departs from npm
        1 => Just("*".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, max_global_rejects: 100_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// CR 1.3: the same answer as an independent npm implementation, and printing keeps the meaning.
    #[test]
    fn agrees_with_npm(range in prop::collection::vec(conjunction(), 1..3), text in full()) {
        // the oracle forgets half of a conjunction that contradicts itself
        prop_assume!(range.iter().all(|one| Requirement::can_agree([&requirement(one)])));
        let range = range.join(" || ");
        let ours = requirement(&range);
        let Ok(theirs) = nodejs_semver::Range::parse(&range) else { return Ok(()) };
        let wanted = theirs.satisfies(&nodejs_semver::Version::parse(&text).unwrap());
        prop_assert_eq!(ours.matches(&version(&text)), wanted, "{} in {}", text, range);
    }

    /// Whatever satisfies both proves that they intersect.
    #[test]
    fn a_common_version_means_agreement(a in conjunction(), b in conjunction(), text in full()) {
        let (a, b, one) = (requirement(&a), requirement(&b), version(&text));
        if a.matches(&one) && b.matches(&one) {
            prop_assert!(a.intersects(&b));
        }
    }
}
