//! Tests of the options.

use super::*;

/// A function that sets one option. The argument is the side that sets it, `false` for the
/// program and `true` for the configuration, so that the two values differ.
type Set = fn(HttpOptions, bool) -> HttpOptions;

const OPTIONS: [Set; 12] = [
    |http, side| http.trusted_proxies([["10.0.0.0/8"], ["192.0.2.0/24"]][side as usize]).unwrap(),
    |http, side| {
        http.nat64_prefixes([["2001:db8:1::/96"], ["2001:db8:2::/96"]][side as usize]).unwrap()
    },
    |http, side| http.peer(move |_| side.then_some(IpAddr::from([192, 0, 2, 1]))),
    |http, side| {
        http.forwarded_header(
            [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded][side as usize],
        )
    },
    |http, side| http.ipv6_prefix([48, 56][side as usize]).unwrap(),
    |http, side| http.pepper([[1; 16], [2; 16]][side as usize]).unwrap(),
    |http, side| http.hash_subjects(side),
    |http, side| http.headers([HeaderStyle::Both, HeaderStyle::None][side as usize]),
    |http, side| http.legacy_reset([LegacyReset::Epoch, LegacyReset::Delta][side as usize]),
    |http, side| http.on_missing_key([OnMissingKey::Shared, OnMissingKey::Exempt][side as usize]),
    |http, side| http.refusal(move |_: &Refusal<'_>| side.to_string()),
    |http, side| http.refused_body([0, 9][side as usize], Duration::ZERO),
];

/// Sets the options whose bits are set.
fn with(bits: usize, side: bool) -> HttpOptions {
    let is_set = |at: &usize| bits & (1 << at) != 0;
    (0..OPTIONS.len()).filter(is_set).fold(HttpOptions::new(), |http, at| OPTIONS[at](http, side))
}

/// The value of each option, as text; of a function its address.
fn values(http: &HttpOptions) -> [Option<String>; 12] {
    fn text<T: fmt::Debug>(value: &Option<T>) -> Option<String> {
        value.as_ref().map(|value| format!("{value:?}"))
    }
    let HttpOptions {
        trusted_proxies,
        nat64_prefixes,
        peer,
        client_header,
        ipv6_prefix,
        pepper,
        hash_subjects,
        headers,
        legacy_reset,
        on_missing_key,
        refusal,
        refused_body,
    } = http;
    [
        text(trusted_proxies),
        text(nat64_prefixes),
        peer.as_ref().map(|function| format!("{:p}", Arc::as_ptr(function))),
        text(client_header),
        text(ipv6_prefix),
        pepper.clone().map(|it| SubjectHash::new(Some(it), false).secret(b"").to_string()),
        text(hash_subjects),
        text(headers),
        text(legacy_reset),
        text(on_missing_key),
        refusal.as_ref().map(|function| format!("{:p}", Arc::as_ptr(function))),
        text(refused_body),
    ]
}

#[test]
fn each_option_is_that_of_the_first_who_sets_it() {
    let all = 1 << OPTIONS.len();
    let [program, configuration] =
        [false, true].map(|side| (0..all).map(|bits| with(bits, side)).collect::<Vec<_>>());
    for (program, own) in program.iter().enumerate() {
        assert_eq!(values(own).map(|value| value.is_some()), bits(program));
        // Nothing, everything, the same, the others, and some of both.
        for configured in [0, all - 1, program, all - 1 - program, program ^ (all / 3)] {
            let theirs = &configuration[configured];
            let joined = values(&theirs.clone().or(own.clone()));
            let (own, theirs) = (values(own), values(theirs));
            for (at, joined) in joined.iter().enumerate() {
                let expected = theirs[at].as_ref().or(own[at].as_ref());
                assert_eq!(joined.as_ref(), expected, "{program:b} {configured:b} {at}");
            }
        }
    }
}

fn bits(bits: usize) -> [bool; 12] {
    std::array::from_fn(|at| bits & (1 << at) != 0)
}

#[test]
fn what_nobody_sets_has_its_default() {
    let EffectiveHttpOptions {
        address,
        headers,
        legacy_reset,
        on_missing_key,
        refusal,
        refused_body,
        mistakes: _,
    } = HttpOptions::new().effective(WallClocks::of(crate::SystemClock::new()));
    assert_eq!(format!("{address:?}"), format!("{:?}", AddressOptions::new(&[], Vec::new())));
    assert_eq!(headers, HeaderStyle::default());
    assert_eq!(legacy_reset.meaning, LegacyReset::default());
    assert_eq!(on_missing_key, OnMissingKey::default());
    assert!(refusal.is_none());
    assert!(matches!(HttpOptions::new().subject_hash(), (None, None)));
    assert_eq!(refused_body, RefusedBody::default());
}
