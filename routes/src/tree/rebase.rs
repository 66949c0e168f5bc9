//! What was changed in a tree, changed in another one: how edits outlive a new state of the file that they were made over.

use super::{Dir, Entry, Forms, Node, Shown, Tree};
use std::collections::BTreeSet;
use std::sync::Arc;

impl Tree {
    /// Another tree with what has been changed in this one since it was `before`. Where the other one differs from `before` too,
    /// it is right, but for what guests have written. A list counts as one value.
    ///
    /// ```
    /// use gce_metadata_routes::Metadata;
    /// use serde_json::json;
    ///
    /// let of = |project: &str| Metadata::from_json(json!({"project": {"projectId": project, "attributes": {}}})).unwrap().tree();
    /// let edited = of("old").with("project/attributes/colour", &json!("green")).unwrap();
    /// let rebased = edited.rebased(&of("old"), &of("new"));
    /// assert_eq!(rebased.text("project/project-id").unwrap(), "new");
    /// assert_eq!(rebased.text("project/attributes/colour").unwrap(), "green");
    /// ```
    pub fn rebased(&self, before: &Self, onto: &Self) -> Self {
        match (&*self.root, &*before.root, &*onto.root) {
            (Node::Dir(edited), Node::Dir(before), Node::Dir(onto_dir)) => {
                onto.with_root(Arc::new(Node::Dir(merged(edited, before, onto_dir, Right::Onto))))
            }
            // A root is a directory.
            _ => onto.clone(),
        }
    }
}

/// Who is right where both sides have changed something.
#[derive(Clone, Copy)]
enum Right {
    Onto,
    Edited,
}

fn merged(edited: &Dir, before: &Dir, onto: &Dir, right: Right) -> Dir {
    // What a guest has written is lost for good if somebody else's value takes its place.
    let right = if onto.is_closed { Right::Edited } else { right };
    let names: BTreeSet<_> = edited.entries.keys().chain(onto.entries.keys()).collect();
    let entries = names.into_iter().filter_map(|name| {
        let entry = rebased(edited.entries.get(name), before.entries.get(name), onto.entries.get(name), right)?;
        Some((name.clone(), entry))
    });
    Dir { entries: entries.collect(), is_closed: onto.is_closed, forms: Forms::default() }
}

fn rebased(edited: Option<&Entry>, before: Option<&Entry>, onto: Option<&Entry>, right: Right) -> Option<Entry> {
    if edited == before {
        return onto.cloned();
    }
    if onto == before {
        return edited.cloned();
    }
    let any = onto.or(edited)?;
    let none = Dir { is_closed: matches!(&*any.node, Node::Dir(dir) if dir.is_closed), ..Dir::default() };
    let dirs = (dir(edited, &none), dir(before, &none), dir(onto, &none));
    let (Some(edited_dir), Some(before_dir), Some(onto_dir)) = dirs else {
        return match right {
            Right::Onto => onto.cloned(),
            Right::Edited => edited.cloned(),
        };
    };
    let merged = merged(edited_dir, before_dir, onto_dir, right);
    // A directory that one of both has removed goes, unless the other one has put something into it.
    if merged.entries.is_empty() && (edited.is_none() || onto.is_none()) {
        return None;
    }
    let shown = match edited {
        // What was put into a default is there to be seen, if it was.
        Some(edited) if any.shown == Shown::Nowhere && !merged.entries.is_empty() => edited.shown,
        _ => any.shown,
    };
    Some(Entry { node: Arc::new(Node::Dir(merged)), shown, json_key: any.json_key.clone() })
}

/// The directory; an empty one where there is nothing.
fn dir<'a>(entry: Option<&'a Entry>, none: &'a Dir) -> Option<&'a Dir> {
    match entry.map(|entry| &*entry.node) {
        Some(Node::Dir(dir)) => Some(dir),
        Some(_) => None,
        None => Some(none),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GuestAttributes, Metadata};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn tree(v1: Value) -> Tree {
        Metadata::from_json(v1).unwrap().tree()
    }

    fn attributes(attributes: Value) -> Tree {
        tree(json!({"instance": {"attributes": attributes}}))
    }

    fn json_of(tree: &Tree, path: &str) -> Value {
        serde_json::from_slice(&tree.get(path).unwrap().json()).unwrap()
    }

    #[test]
    fn each_change_stays_and_the_later_one_of_two_is_right() {
        let before =
            attributes(json!({"kept": "1", "filed": "1", "edited": "1", "both": "1", "removed": "1", "gone": "1"}));
        let onto =
            attributes(json!({"kept": "1", "filed": "2", "edited": "1", "both": "2", "removed": "1", "added": "2"}));
        let edits = [("edited", "e"), ("both", "e"), ("set", "e")];
        let edited = edits.into_iter().fold(before.clone(), |tree, (key, value)| {
            tree.with(&format!("instance/attributes/{key}"), &value.into()).unwrap()
        });
        let edited = edited.without("instance/attributes/removed").unwrap();
        let rebased = edited.rebased(&before, &onto);
        let expected = json!({"kept": "1", "filed": "2", "edited": "e", "both": "2", "added": "2", "set": "e"});
        assert_eq!(json_of(&rebased, "instance/attributes"), expected);
        assert_eq!(edited.rebased(&before, &before), edited);
        assert_eq!(before.rebased(&before, &onto), onto);
    }

    #[test]
    fn a_list_is_one_value() {
        let nics = |ips: [&str; 2]| tree(json!({"instance": {"networkInterfaces": ips.map(|ip| json!({"ip": ip}))}}));
        let before = nics(["10.0.0.1", "10.0.0.2"]);
        let edited = before.with("instance/network-interfaces/0/ip", &json!("10.0.0.9")).unwrap();
        assert_eq!(edited.rebased(&before, &nics(["10.0.0.1", "10.0.0.2"])), edited);
        let onto = nics(["10.0.0.1", "10.0.0.3"]);
        assert_eq!(edited.rebased(&before, &onto), onto);
    }

    #[test]
    fn a_directory_goes_unless_something_was_put_into_it() {
        let before = attributes(json!({"a": "1"}));
        let edited = before.with("instance/attributes/b", &json!("2")).unwrap();
        let rebased = edited.rebased(&before, &tree(json!({"instance": {"id": 7}})));
        assert_eq!(json_of(&rebased, "instance"), json!({"attributes": {"b": "2"}, "id": 7}));
        let removed = before.without("instance/attributes").unwrap();
        let rebased = removed.rebased(&before, &attributes(json!({"a": "1", "c": "3"})));
        assert_eq!(json_of(&rebased, "instance"), json!({"attributes": {"c": "3"}}));
        assert_eq!(removed.rebased(&before, &attributes(json!({"a": "1"}))), removed);

        let of = |mine: Value| tree(json!({"instance": {"mine": mine}}));
        let edited = of(json!({"a": 1, "b": 2}));
        assert_eq!(edited.rebased(&of(json!({"a": 1})), &of("no directory".into())), of("no directory".into()));
    }

    #[test]
    fn what_guests_have_written_stays_hidden_where_the_config_has_none() {
        let mut written = GuestAttributes::default();
        written.set("ns", "key", "mine");
        for before in [json!({"instance": {"id": 1}}), json!({"instance": {"id": 1, "guestAttributes": {}}})] {
            let mut onto = before.clone();
            onto["instance"]["id"] = 2.into();
            let (before, onto) = (tree(before), tree(onto));
            let rebased = before.with_guest_attributes(&written).unwrap().rebased(&before, &onto);
            assert_eq!(rebased.guest_attributes(), written);
            assert_eq!(rebased.get("").unwrap().json(), onto.get("").unwrap().json());
        }
    }

    #[test]
    fn guests_are_right_about_what_they_have_written() {
        let of = |attributes: Value| tree(json!({"instance": {"guestAttributes": attributes}}));
        let all = |values: [&str; 3]| json!({"ns": {"kept": values[0], "written": values[1], "removed": values[2]}});
        let edited = of(json!({"ns": {"kept": "1", "written": "w"}}));
        let rebased = edited.rebased(&of(all(["1", "1", "1"])), &of(all(["2", "2", "2"])));
        assert_eq!(rebased, of(json!({"ns": {"kept": "2", "written": "w"}})));
    }

    fn any_attributes() -> impl Strategy<Value = Tree> {
        proptest::collection::btree_map("[a-c]", "[12]", 0..3)
            .prop_map(|keys| attributes(keys.into_iter().map(|(key, value)| (key, Value::from(value))).collect()))
    }

    proptest! {
        #[test]
        fn no_change_is_lost(edited in any_attributes(), before in any_attributes(), onto in any_attributes()) {
            let rebased = edited.rebased(&before, &onto);
            for key in ["a", "b", "c"] {
                let at = |tree: &Tree| tree.text(&format!("instance/attributes/{key}"));
                let expected = if at(&onto) == at(&before) { at(&edited) } else { at(&onto) };
                prop_assert_eq!(at(&rebased), expected);
            }
        }
    }
}
