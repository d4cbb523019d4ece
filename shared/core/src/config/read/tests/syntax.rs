//! Faults of YAML itself.

use super::super::{Code, utf8};
use super::{faults, sample};

#[test]
fn slips_are_explained() {
    let slips = [
        "name: a\n\tpools: []\n",
        "name: a: b\n",
        "name: \"a\npools: []\n",
        "name: 'a' b\n",
        "name: \"a\\q\"\n",
        "pools: [{ name: b }\nname: a\n",
        "pools: { name: b\n",
        "name: a\npools: []]\n",
        "pools:\n  - name: a\n check: tcp\n",
        "pools:\n  - name: a\n  check: tcp\n",
        "pools: - a\n",
        "name: *.example.com\n",
        "name: *example\n",
        "name: @a\n",
        "name: `a`\n",
        "name: %a\n",
        "name: {{ template }}\n",
        "name: !secret a\n",
        "name: !!int a\n",
        "name: a\n---\nname: b\n",
        "name a\npools: []\n",
        "name: &a [*a]\n",
        "? [a]\n: b\n",
        "name: a\n<<: 5\n",
        "name: a\u{7}\n",
        "name: a\n\0pools: []\n",
        "limits: {a: 1 b: 2}\n",
        "limits: [a b: 2}\n",
        "name: \"a\n",
        "&k name: a\n",
    ];
    let shown: Vec<String> = slips.iter().map(|text| faults(text)).collect();
    insta::assert_snapshot!(shown.join("\n\n--------\n"));
}

#[test]
fn bytes_that_are_not_text_have_a_place() {
    assert_eq!(utf8("f", "name: ä".as_bytes()), Ok("name: ä"));
    let faults = utf8("f", b"name: a\nx: \xff\n").expect_err("not UTF-8");
    let fault = faults.iter().next().expect("one fault");
    assert_eq!(
        (fault.code, fault.line, fault.column),
        (Code::Encoding, 2, 4)
    );
}

#[test]
fn escape_sequences_do_not_reach_the_terminal() {
    let text = "name: \"\\e[31m\"\npools: [{ name: b, \"\\e]0;x\\a\": 1, \"\\u202e\": 2 }]\n";
    let shown = faults(text);
    assert!(
        !shown.contains('\u{1b}') && !shown.contains('\u{202e}'),
        "{shown:?}"
    );
}

#[test]
fn many_levels_are_refused() {
    for text in [
        "[".repeat(100_000),
        "{a: ".repeat(100_000),
        "- ".repeat(10_000),
        "? ".repeat(10_000),
    ] {
        let faults = sample(&text).expect_err("too deep");
        assert_eq!(faults.count(), 1);
    }
    let chained = "a: &a [[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]\n\
                   b: &b [[[[[[[[[[[[[[[[[[[[[[*a]]]]]]]]]]]]]]]]]]]]]]\n\
                   c: [[[[[[[[[[[[[[[[[[[[[[*b]]]]]]]]]]]]]]]]]]]]]]\n";
    let faults = sample(chained).expect_err("too deep through aliases");
    assert_eq!(
        faults.iter().next().map(|fault| (fault.code, fault.line)),
        Some((Code::TooLarge, 3))
    );
}

#[test]
fn bombs_are_refused_before_they_expand() {
    let mut lists = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    let mut maps = String::from("a0: &a0 { k: v }\n");
    for level in 1..20 {
        let last = level - 1;
        let ten = vec![format!("*a{last}"); 10].join(", ");
        lists.push_str(&format!("a{level}: &a{level} [{ten}]\n"));
        maps.push_str(&format!(
            "a{level}: &a{level} {{ <<: [{ten}], l: *a{last} }}\n"
        ));
    }
    let text = format!(
        "a: &a \"{}\"\nb: [{}]\n",
        "x".repeat(1 << 20),
        "*a, ".repeat(100_000)
    );
    for bomb in [lists, maps, text] {
        let faults = sample(&bomb).expect_err("a bomb");
        assert_eq!(
            faults.iter().map(|fault| fault.code).collect::<Vec<_>>(),
            [Code::TooLarge]
        );
    }
}

#[test]
fn a_huge_file_is_refused_unread() {
    let faults = sample(&" ".repeat((16 << 20) + 1)).expect_err("too large");
    assert_eq!(
        faults.iter().map(|fault| fault.code).collect::<Vec<_>>(),
        [Code::TooLarge]
    );
}

#[test]
fn a_bracket_full_of_marks_is_refused_unread() {
    let faults = sample(&format!("[{}", "a,".repeat(3_000_000))).expect_err("too many marks");
    let all: Vec<_> = faults
        .iter()
        .map(|fault| (fault.code, fault.column))
        .collect();
    assert_eq!(all, [(Code::TooLarge, 6_000_001)]);
}
