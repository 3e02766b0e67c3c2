//! Reads as much of Go as the declarations of Kubernetes' types need.

use std::collections::BTreeMap;

/// The types of a package, by name.
#[derive(Debug, Default)]
pub(super) struct Package {
    pub(super) types: BTreeMap<String, Type>,
}

/// What a name stands for.
#[derive(Debug)]
pub(super) enum Type {
    /// Another type.
    Named(Reference),
    Struct(Vec<Field>),
}

/// The text of a type, in the file that gives meaning to its packages.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Reference {
    pub(super) text: String,
    /// The path of each package by its name in the file.
    pub(super) imports: std::rc::Rc<BTreeMap<String, String>>,
}

/// A field that is sent.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u64,
    /// The name in JSON, empty where the fields of the type stand in its place.
    pub(super) name: String,
    pub(super) of: Reference,
}

impl Package {
    /// Adds the declarations of a file.
    pub(super) fn read(&mut self, source: &str) {
        let imports = std::rc::Rc::new(imports(source));
        let mut lines = source.lines();
        while let Some(line) = lines.next() {
            let Some(declaration) = line.strip_prefix("type ") else { continue };
            let Some((name, rest)) = declaration.split_once(' ') else { continue };
            let declared = if rest.starts_with("struct {") && !rest.ends_with('}') {
                let body = lines.by_ref().take_while(|line| !line.starts_with('}'));
                Type::Struct(body.filter_map(|line| field(line, &imports)).collect())
            } else {
                let text = rest.split("//").next().unwrap_or_default().trim();
                let text = text.trim_start_matches("= ").to_owned();
                Type::Named(Reference { text, imports: imports.clone() })
            };
            self.types.insert(name.to_owned(), declared);
        }
    }
}

/// The paths of packages by the names that a file has for them.
fn imports(source: &str) -> BTreeMap<String, String> {
    let block = source.split("import (").nth(1).and_then(|rest| rest.split(')').next());
    let lines = block.unwrap_or_default().lines().map(str::trim);
    let named = lines.filter_map(|line| {
        let (alias, path) = line.split_once('"')?;
        let path = path.trim_end_matches('"');
        let last = path.rsplit('/').next().unwrap_or_default();
        let name = if alias.trim().is_empty() { last } else { alias.trim() };
        Some((name.to_owned(), path.to_owned()))
    });
    named.collect()
}

/// Reads a field with a number; others are not sent.
fn field(line: &str, imports: &std::rc::Rc<BTreeMap<String, String>>) -> Option<Field> {
    let (declaration, tags) = line.trim().split_once('`')?;
    let tag = |name: &str| {
        let (_, rest) = tags.split_once(&format!("{name}:\""))?;
        rest.split('"').next()
    };
    if declaration.starts_with("//") {
        return None;
    }
    let number = tag("protobuf")?.split(',').nth(1)?.parse().ok()?;
    let name = tag("json")?.split(',').next()?.to_owned();
    // A field without a name of its own has that of its type.
    let text = declaration.split_whitespace().last()?.to_owned();
    Some(Field { number, name, of: Reference { text, imports: imports.clone() } })
}

#[cfg(test)]
mod tests {
    use super::{Package, Type};

    #[test]
    fn structs_have_their_numbered_fields() {
        let mut package = Package::default();
        package.read(
            "import (\n\tmetav1 \"k8s.io/apimachinery/pkg/apis/meta/v1\"\n)\n\
             type A struct {\n\tmetav1.TypeMeta `json:\"\"`\n\t// Of it.\n\
             \tSpec *B `json:\"spec,omitempty\" protobuf:\"bytes,2,opt,name=spec\"`\n\
             \tB `json:\",inline\" protobuf:\"bytes,3,opt,name=b\"`\n}\n\
             type C string // a text\n",
        );
        let Type::Struct(fields) = &package.types["A"] else { panic!("a struct") };
        let seen: Vec<_> = fields.iter().map(|it| (it.number, &*it.name, &*it.of.text)).collect();
        assert_eq!(seen, [(2, "spec", "*B"), (3, "", "B")]);
        let Type::Named(other) = &package.types["C"] else { panic!("a name") };
        assert_eq!(other.text, "string");
        assert_eq!(other.imports["metav1"], "k8s.io/apimachinery/pkg/apis/meta/v1");
    }
}
