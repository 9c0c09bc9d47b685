//! The public items of the crate `tollgate` are those that `public_api.txt` lists, and each of them
//! can be reached by one path. A change of the listing is a change that users see.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use quote::ToTokens;
use support::ROOT;
use syn::punctuated::Punctuated;
use syn::{Attribute, Fields, ImplItem, Item, Meta, Token, TraitItem, Type, UseTree, Visibility};

const LISTING: &str = "tests/repository/public_api.txt";

const HEAD: &str = "\
# The public items of the crate `tollgate`, with all of its features. The test `public_api` compares
# this file with the sources, and writes it anew if UPDATE_PUBLIC_API is set:
#
#     UPDATE_PUBLIC_API=1 cargo test -p tollgate-tests --test repository public_api
";

#[test]
fn is_as_listed() {
    let items = public_items();
    let mut listing = HEAD.to_owned();
    for item in items.values() {
        let _ = write!(listing, "\n{item}");
    }
    let path = Path::new(ROOT).join(LISTING);
    if std::env::var_os("UPDATE_PUBLIC_API").is_some() {
        return fs::write(path, listing).unwrap();
    }
    let listed = fs::read_to_string(path).unwrap_or_default();
    let (new, old) = (blocks(&listing), blocks(&listed));
    let added = new.difference(&old).map(|line| format!("+ {line}"));
    let removed = old.difference(&new).map(|line| format!("- {line}"));
    let changes: Vec<String> = removed.chain(added).collect();
    assert!(
        listing == listed,
        "the public items have changed. If that is meant, set UPDATE_PUBLIC_API to write {LISTING} \
         anew, and say it in CHANGELOG.md:\n{}",
        changes.join("\n")
    );
}

/// The lines of a listing, each with the item to which it belongs.
fn blocks(listing: &str) -> BTreeSet<String> {
    let mut item = "";
    let mut lines = BTreeSet::new();
    for line in listing.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("    ") {
            Some(member) => lines.insert(format!("{item}: {member}")),
            None => {
                item = line;
                lines.insert(line.to_owned())
            }
        };
    }
    lines
}

#[test]
fn has_one_path_for_each_item() {
    let source = Source::read();
    let mut paths = BTreeMap::<(Vec<String>, String), Vec<String>>::new();
    for public in source.exports() {
        paths.entry((public.module, public.name)).or_default().push(public.path);
    }
    let several: Vec<_> = paths.values().filter(|paths| paths.len() > 1).collect();
    assert!(several.is_empty(), "these can be reached by several paths: {several:?}");
    assert!(paths.len() > 60, "only {} items were found", paths.len());
}

#[test]
fn every_type_can_be_formatted_for_debugging() {
    for (path, block) in public_items() {
        let is_type = block.starts_with("struct ") || block.starts_with("enum ");
        assert!(!is_type || block.contains(" Debug") || block.contains("fmt::Debug"), "{path}");
    }
}

/// Each type that users match or read has a line in `API.md` that says if it may grow.
#[test]
fn what_may_grow_is_decided() {
    let page = fs::read_to_string(Path::new(ROOT).join("API.md")).unwrap();
    let (_, table) = page.split_once("## `non_exhaustive`").unwrap();
    let decided: BTreeMap<String, bool> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, rest)| (format!("tollgate::{name}"), rest.starts_with("yes")))
        .collect();
    let mut found = BTreeMap::new();
    for (path, block) in public_items() {
        let has_fields = block.lines().any(|line| line.starts_with("    pub ") && !is_member(line));
        if block.starts_with("enum ") || (block.starts_with("struct ") && has_fields) {
            let head = block.lines().next().unwrap_or_default();
            found.insert(path, head.contains("(non_exhaustive)"));
        }
    }
    assert_eq!(decided, found, "API.md and the sources");
}

fn is_member(line: &str) -> bool {
    ["fn ", "const ", "async "].iter().any(|kind| line.contains(kind))
}

/// The types that are shared between threads, with all that they contain.
#[test]
fn types_cross_threads() {
    fn are<T: Send + Sync + 'static>() {}
    are::<(tollgate::Limiter, tollgate::LimiterBuilder, tollgate::MemoryBackend)>();
    are::<(tollgate::RedisBackend, tollgate::Config, tollgate::Dashboard, tollgate::PerSubject)>();
    are::<(tollgate::Policy, tollgate::Quota, tollgate::Subject, tollgate::Key)>();
    are::<(tollgate::Decision, tollgate::Permit, tollgate::RateLimited, tollgate::Unavailable)>();
    are::<(tollgate::BackendError, tollgate::StartError, tollgate::Overrides)>();
    are::<(tollgate::RateLimit, tollgate::RateLimitLayer, tollgate::HttpOptions)>();
    are::<(tollgate::backend::Verdict, tollgate::backend::Answer, tollgate::config::ConfigError)>();
    are::<(tollgate::http::Problem, tollgate::testing::ManualClock, tollgate::testing::Client)>();
}

/// A module of the crate, by the names from the root to it.
type ModulePath = Vec<String>;

struct Module {
    items: Vec<Item>,
    /// The conditions under which the module exists.
    cfg: Vec<String>,
}

/// The modules of the crate, parsed.
struct Source {
    modules: BTreeMap<ModulePath, Rc<Module>>,
}

/// An item, and a path by which users reach it.
struct Export {
    path: String,
    module: ModulePath,
    name: String,
    cfg: Vec<String>,
}

impl Source {
    fn read() -> Self {
        let mut source = Self { modules: BTreeMap::new() };
        let root = Path::new(ROOT).join("runtime/src");
        source.read_file(&root.join("lib.rs"), &root, Vec::new(), Vec::new());
        source
    }

    fn read_file(&mut self, file: &Path, children: &Path, path: ModulePath, cfg: Vec<String>) {
        let text = fs::read_to_string(file).unwrap();
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        self.read_items(parsed.items, children, path, cfg);
    }

    fn read_items(
        &mut self,
        items: Vec<Item>,
        children: &Path,
        path: ModulePath,
        cfg: Vec<String>,
    ) {
        let items: Vec<Item> = items.into_iter().flat_map(without_macro).collect();
        for item in &items {
            let Item::Mod(module) = item else { continue };
            let own = conditions(&module.attrs);
            if is_hidden(&module.attrs) || own.iter().any(|condition| is_of_tests(condition)) {
                continue;
            }
            let name = module.ident.to_string();
            let (path, cfg) = (joined(&path, &name), [&*cfg, &*own].concat());
            match &module.content {
                Some((_, items)) => {
                    self.read_items(items.clone(), &children.join(&name), path, cfg);
                }
                None => {
                    let file = [format!("{name}.rs"), format!("{name}/mod.rs")]
                        .map(|file| children.join(file))
                        .into_iter()
                        .find(|file| file.exists());
                    let file: PathBuf = file.unwrap_or_else(|| panic!("no file of {name}"));
                    self.read_file(&file, &children.join(&name), path, cfg);
                }
            }
        }
        self.modules.insert(path, Rc::new(Module { items, cfg }));
    }

    /// All that users reach, from the root on.
    fn exports(&self) -> Vec<Export> {
        let mut exports = Vec::new();
        self.export_module(&Vec::new(), "tollgate", &mut exports);
        exports
    }

    fn export_module(&self, module: &ModulePath, public: &str, exports: &mut Vec<Export>) {
        let Some(contents) = self.modules.get(module).cloned() else { return };
        for item in &contents.items {
            if is_hidden(attributes(item)) || !is_public(item) {
                continue;
            }
            let cfg = [&*contents.cfg, &*conditions(attributes(item))].concat();
            if let Item::Use(import) = item {
                let mut leaves = Vec::new();
                flatten(&import.tree, &mut Vec::new(), &mut leaves);
                for (path, name) in leaves {
                    let Some((module, original)) = self.resolve(module, &path) else {
                        assert_eq!(path[0], "tollgate_macros", "{path:?} is of another crate");
                        let (path, module) = (format!("{public}::{name}"), path);
                        exports.push(Export { path, module, name, cfg: cfg.clone() });
                        continue;
                    };
                    let cfg = [&*cfg, &*self.modules[&module].cfg].concat();
                    let path = format!("{public}::{name}");
                    exports.push(Export { path, module, name: original, cfg });
                }
            } else if let Some(name) = name(item) {
                let path = format!("{public}::{name}");
                if matches!(item, Item::Mod(_)) {
                    self.export_module(&joined(module, &name), &path, exports);
                }
                exports.push(Export { path, module: module.clone(), name, cfg });
            }
        }
    }

    /// The module and the name of the item that this path names inside `module`; `None` if it is
    /// an item of another crate.
    fn resolve(&self, module: &ModulePath, path: &[String]) -> Option<(ModulePath, String)> {
        let mut at = module.clone();
        let (name, segments) = path.split_last()?;
        for (index, segment) in segments.iter().enumerate() {
            match segment.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => drop(at.pop()),
                child => {
                    at.push(child.to_owned());
                    if !self.modules.contains_key(&at) {
                        assert_eq!(index, 0, "{path:?}: no module {child}");
                        return None;
                    }
                }
            }
        }
        let contents = &self.modules[&at];
        if contents.items.iter().any(|item| self::name(item).as_ref() == Some(name)) {
            return Some((at, name.clone()));
        }
        for item in &contents.items {
            let Item::Use(import) = item else { continue };
            let mut leaves = Vec::new();
            flatten(&import.tree, &mut Vec::new(), &mut leaves);
            if let Some((path, _)) = leaves.into_iter().find(|(_, known)| known == name) {
                return self.resolve(&at, &path);
            }
        }
        panic!("{path:?} is not found in {at:?}");
    }

    /// Calls `see` with every `impl` block, and the conditions under which it exists.
    fn for_all_impls(&self, mut see: impl FnMut(&syn::ItemImpl, Vec<String>)) {
        for module in self.modules.values() {
            for item in &module.items {
                if let Item::Impl(block) = item
                    && !is_hidden(&block.attrs)
                {
                    let cfg = [&*module.cfg, &*conditions(&block.attrs)].concat();
                    if !cfg.iter().any(|condition| is_of_tests(condition)) {
                        see(block, cfg);
                    }
                }
            }
        }
    }

    /// The names of all types and traits that are defined in the crate.
    fn names(&self) -> BTreeSet<String> {
        let items = self.modules.values().flat_map(|module| &module.items);
        let is_type = |item: &&Item| {
            matches!(item, Item::Trait(_) | Item::Struct(_) | Item::Enum(_) | Item::Type(_))
        };
        items.filter(is_type).filter_map(name).collect()
    }
}

/// Returns the listing's block for each public item, by its path.
fn public_items() -> BTreeMap<String, String> {
    let source = Source::read();
    let exports = source.exports();
    let own = source.names();
    let public: BTreeMap<&str, &Export> =
        exports.iter().map(|export| (export.name.as_str(), export)).collect();
    let mut members = BTreeMap::<String, BTreeSet<String>>::new();
    source.for_all_impls(|block, cfg| {
        let Some(name) = type_name(&block.self_ty) else { return };
        let of_trait = block.trait_.as_ref().map(|(path, _)| path);
        let trait_name = of_trait.and_then(|path| Some(path.segments.last()?.ident.to_string()));
        // A trait of the crate's own, or with an argument of its own, that users cannot name.
        let named = of_trait.map(|path| path.to_token_stream().to_string()).unwrap_or_default();
        let mut words = named.split(|c: char| !c.is_alphanumeric());
        if words.any(|word| own.contains(word) && !public.contains_key(word)) {
            return;
        }
        // An implementation for a type of another crate belongs to the trait.
        let owner = if public.contains_key(name.as_str()) { Some(name) } else { trait_name };
        let Some(owner) = owner.and_then(|name| public.get(name.as_str())) else { return };
        let known = &owner.cfg;
        let members = members.entry(owner.path.clone()).or_default();
        if of_trait.is_some() {
            let mut head = block.clone();
            head.items.clear();
            head.attrs.clear();
            members.insert(line(&rendered(Item::Impl(head)), &cfg, known));
            return;
        }
        for item in &block.items {
            let (attributes, vis) = match item {
                ImplItem::Fn(item) => (&item.attrs, &item.vis),
                ImplItem::Const(item) => (&item.attrs, &item.vis),
                _ => continue,
            };
            if is_hidden(attributes) || !matches!(vis, Visibility::Public(_)) {
                continue;
            }
            let cfg = [&*cfg, &*conditions(attributes)].concat();
            let mut item = item.clone();
            match &mut item {
                ImplItem::Fn(item) => (item.attrs, item.block) = (Vec::new(), empty()),
                ImplItem::Const(item) => item.attrs.clear(),
                _ => {}
            }
            members.insert(line(&rendered_member(&block.generics, &item), &cfg, known));
        }
    });
    let mut items = BTreeMap::new();
    for export in &exports {
        let module = source.modules.get(&export.module);
        let item = module.and_then(|module| {
            module.items.iter().find(|item| name(item).as_ref() == Some(&export.name))
        });
        let mut block = match item {
            Some(item) => described(item, export),
            None => format!("macro {}\n", export.path),
        };
        for member in members.get(&export.path).into_iter().flatten() {
            let _ = writeln!(block, "    {member}");
        }
        items.insert(export.path.clone(), block);
    }
    items
}

/// The items that `pin_project!` surrounds, or the item itself. What another macro makes is not
/// read.
fn without_macro(item: Item) -> Vec<Item> {
    match item {
        Item::Macro(call) if call.mac.path.is_ident("pin_project") => {
            syn::parse2::<syn::File>(call.mac.tokens).unwrap().items
        }
        item => vec![item],
    }
}

/// The item itself: its kind, fields, variants and derived traits.
fn described(item: &Item, export: &Export) -> String {
    let attributes = attributes(item);
    let (kind, generics) = match item {
        Item::Struct(item) => ("struct", Some(&item.generics)),
        Item::Enum(item) => ("enum", Some(&item.generics)),
        Item::Trait(item) => ("trait", Some(&item.generics)),
        Item::Type(item) => ("type", Some(&item.generics)),
        Item::Fn(_) => ("fn", None),
        Item::Const(_) => ("const", None),
        Item::Mod(_) => ("mod", None),
        other => panic!("{} is of an unknown kind: {other:?}", export.path),
    };
    let mut head = format!("{kind} {}", export.path);
    if let Some(generics) = generics {
        head += &rendered_generics(generics);
    }
    if has(attributes, "non_exhaustive") {
        head += " (non_exhaustive)";
    }
    let mut block = line(&head, &export.cfg, &[]) + "\n";
    let mut lines = Vec::new();
    match item {
        Item::Struct(item) => fields(&item.fields, true, &export.cfg, &mut lines),
        Item::Enum(item) => {
            for variant in &item.variants {
                let mut name = variant.ident.to_string();
                if has(&variant.attrs, "non_exhaustive") {
                    name += " (non_exhaustive)";
                }
                let mut own = Vec::new();
                fields(&variant.fields, false, &export.cfg, &mut own);
                if !own.is_empty() {
                    name = format!("{name} {{ {} }}", own.join(", "));
                }
                lines.push(line(&name, &conditions(&variant.attrs), &export.cfg));
            }
        }
        Item::Trait(item) => {
            for member in &item.items {
                if let TraitItem::Fn(function) = member
                    && !is_hidden(&function.attrs)
                {
                    let provided = if function.default.is_some() { " { .. }" } else { "" };
                    let signature = signature(&function.sig);
                    let cfg = conditions(&function.attrs);
                    lines.push(line(&format!("{signature}{provided}"), &cfg, &export.cfg));
                }
            }
        }
        Item::Fn(item) => lines.push(signature(&item.sig)),
        Item::Const(item) => lines.push(rendered_type(&item.ty)),
        Item::Type(item) => lines.push(rendered_type(&item.ty)),
        _ => {}
    }
    let derived = attributes.iter().filter(|attribute| attribute.path().is_ident("derive"));
    for derive in derived {
        let traits = derive.parse_args_with(Punctuated::<syn::Path, Token![,]>::parse_terminated);
        for name in traits.unwrap() {
            let name = name.segments.last().unwrap().ident.to_string();
            lines.push(format!("derive {name}"));
        }
    }
    for line in lines {
        let _ = writeln!(block, "    {line}");
    }
    block
}

fn fields(fields: &Fields, only_public: bool, known: &[String], lines: &mut Vec<String>) {
    for (index, field) in fields.iter().enumerate() {
        if only_public && !matches!(field.vis, Visibility::Public(_)) {
            continue;
        }
        let name = field.ident.as_ref().map_or(index.to_string(), ToString::to_string);
        let vis = if only_public { "pub " } else { "" };
        let ty = rendered_type(&field.ty);
        lines.push(line(&format!("{vis}{name}: {ty}"), &conditions(&field.attrs), known));
    }
}

fn empty() -> syn::Block {
    syn::parse_quote!({})
}

fn signature(signature: &syn::Signature) -> String {
    rendered(syn::parse_quote!(#signature {}))
}

/// A method or constant of an `impl` block without its value and a `mut`, which are the
/// implementation's, but with the block's generics if it has some of its own.
fn rendered_member(generics: &syn::Generics, item: &ImplItem) -> String {
    let block: syn::ItemImpl = syn::parse_quote!(impl Any { #item });
    let text = rendered(Item::Impl(block));
    let text = text.trim_start_matches("impl Any {").trim_end_matches('}').trim();
    let text = match (&item, text.split_once(" = ")) {
        (ImplItem::Const(_), Some((head, _))) => head,
        _ => text.trim_end_matches("{}").trim(),
    };
    let text = text.replace("(mut self", "(self");
    if generics.where_clause.is_some() {
        return format!("{text} [impl{}]", rendered_generics(generics));
    }
    text
}

/// The item as `rustfmt` would write it, in one line and without an empty body.
fn rendered(item: Item) -> String {
    let text = prettyplease::unparse(&syn::parse_quote!(#item));
    one_line(text.trim_end().trim_end_matches("{}"))
}

/// Joins the lines into which a long item is broken.
fn one_line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.replace("( ", "(").replace(", )", ")").replace("< ", "<").replace(", >", ">")
}

fn rendered_type(ty: &Type) -> String {
    let text = rendered(syn::parse_quote!(type Any = #ty;));
    text.trim_start_matches("type Any = ").trim_end_matches(';').to_owned()
}

fn rendered_generics(generics: &syn::Generics) -> String {
    let (of, _, bounds) = generics.split_for_impl();
    let text = rendered(syn::parse_quote!(impl #of Any #bounds {}));
    text.trim_start_matches("impl").trim().replacen(" Any", "", 1).replacen("Any", "", 1)
}

fn line(text: &str, cfg: &[String], known: &[String]) -> String {
    let cfg: BTreeSet<&String> =
        cfg.iter().filter(|condition| !known.contains(condition)).collect();
    let mut text = text.to_owned();
    for condition in cfg {
        let _ = write!(text, " [{condition}]");
    }
    text
}

fn joined(path: &[String], name: &str) -> ModulePath {
    path.iter().cloned().chain([name.to_owned()]).collect()
}

/// The paths that a `use` names, each with the name that it gets.
fn flatten(tree: &UseTree, prefix: &mut Vec<String>, leaves: &mut Vec<(Vec<String>, String)>) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            flatten(&path.tree, prefix, leaves);
            prefix.pop();
        }
        UseTree::Name(name) => {
            let name = name.ident.to_string();
            leaves.push((joined(prefix, &name), name));
        }
        UseTree::Rename(rename) => {
            let path = joined(prefix, &rename.ident.to_string());
            leaves.push((path, rename.rename.to_string()));
        }
        UseTree::Group(group) => {
            group.items.iter().for_each(|tree| flatten(tree, prefix, leaves));
        }
        other => panic!("a `use` that is not read: {}", other.to_token_stream()),
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

fn is_public(item: &Item) -> bool {
    let vis = match item {
        Item::Const(item) => &item.vis,
        Item::Enum(item) => &item.vis,
        Item::Fn(item) => &item.vis,
        Item::Mod(item) => &item.vis,
        Item::Static(item) => &item.vis,
        Item::Struct(item) => &item.vis,
        Item::Trait(item) => &item.vis,
        Item::Type(item) => &item.vis,
        Item::Use(item) => &item.vis,
        _ => return false,
    };
    matches!(vis, Visibility::Public(_))
}

fn name(item: &Item) -> Option<String> {
    Some(match item {
        Item::Const(item) => item.ident.to_string(),
        Item::Enum(item) => item.ident.to_string(),
        Item::Fn(item) => item.sig.ident.to_string(),
        Item::Mod(item) => item.ident.to_string(),
        Item::Static(item) => item.ident.to_string(),
        Item::Struct(item) => item.ident.to_string(),
        Item::Trait(item) => item.ident.to_string(),
        Item::Type(item) => item.ident.to_string(),
        _ => return None,
    })
}

fn type_name(ty: &Type) -> Option<String> {
    match ty {
        Type::Path(path) => Some(path.path.segments.last()?.ident.to_string()),
        Type::Reference(of) => type_name(&of.elem),
        Type::TraitObject(_) => None,
        other => Some(other.to_token_stream().to_string()),
    }
}

fn has(attributes: &[Attribute], name: &str) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident(name))
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("doc")
            && matches!(&attribute.meta, Meta::List(list) if list.tokens.to_string() == "hidden")
    })
}

/// The conditions of the `cfg` attributes.
fn conditions(attributes: &[Attribute]) -> Vec<String> {
    let cfg = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    cfg.map(|attribute| match &attribute.meta {
        Meta::List(list) => {
            list.tokens.to_string().replace(" = ", "=").replace(" ", "").replace(",", ", ")
        }
        other => other.to_token_stream().to_string(),
    })
    .collect()
}

/// Returns `true` if what has this condition is only in builds of tests.
fn is_of_tests(condition: &str) -> bool {
    condition == "test" || condition.starts_with("all(test,")
}
