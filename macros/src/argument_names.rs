//! Reports names in `args(…)` that no argument of the function has, and costs that are expressions
//! of arguments without `args(…)`.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::ext::IdentExt as _;
use syn::{Expr, FnArg, Ident};

use crate::args::{Cost, Named};
use crate::errors::Errors;
use crate::item::Function;
use crate::policy::Policy;
use crate::suggest;

pub(crate) fn check(policies: &[Policy], function: &Function, errors: &mut Errors) {
    let known = names(function);
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let mut moved = Vec::new();
    bound(function.moved_patterns(), &mut moved);
    for policy in policies {
        for expression in policy.key.args().chain(policy.cost_of_args()) {
            if let Some(word) = called_key(expression) {
                errors.at(word, key_in_args(word));
            }
            let unknown = |root: &&Ident| !known.contains(&root.unraw().to_string().as_str());
            for root in roots(expression).into_iter().filter(unknown) {
                let message = if moved.contains(&root.unraw().to_string()) {
                    moved_name(root)
                } else if matches!(root.to_string().as_str(), "ip" | "global") {
                    key_in_args(root)
                } else {
                    unknown_name(root, &known)
                };
                errors.at(root, message);
            }
        }
        if let Some(Named { value, .. }) = &policy.cost {
            check_cost(value, &known, errors);
        }
    }
}

/// Returns the message about a word for a key of requests within `args(…)`.
fn key_in_args(word: &Ident) -> String {
    let key = match word.to_string().as_str() {
        word @ ("ip" | "global") => word.to_owned(),
        "extension" => "extension(Type)".to_owned(),
        word => format!("{word}(\"…\")"),
    };
    format!(
        "`{word}` is a key of its own, and `args(…)` takes the function's arguments: write it beside \
         them, as in `key = (args(…), {key})`, which needs a handler"
    )
}

/// Returns the message about a name that the signature binds where the user writes it, and not where
/// the check is.
fn moved_name(root: &Ident) -> String {
    format!(
        "`{root}` is a part of an argument, which `#[async_trait]` takes apart behind the check: give \
         the argument a name, such as `argument: (u32, u32)`, write `args(argument.0)`, and take it \
         apart in the body"
    )
}

/// Returns the word if the expression is a call of a key's, such as `header("x-api-key")`.
fn called_key(expression: &Expr) -> Option<&Ident> {
    const KEYS: [&str; 5] = ["header", "cookie", "path_param", "query", "extension"];
    match expression {
        Expr::Call(call) => match &*call.func {
            Expr::Path(path) => {
                path.path.get_ident().filter(|word| KEYS.iter().any(|key| word == key))
            }
            _ => None,
        },
        Expr::Group(group) => called_key(&group.expr),
        _ => None,
    }
}

fn unknown_name(root: &Ident, known: &[&str]) -> String {
    let list: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    let grammar = match &*list {
        [] => "it has none with a name; write an item of your own as a path, such as \
               `self::REGION`"
            .to_owned(),
        list => format!(
            "there are {}; write an item of your own as a path, such as `self::REGION`",
            list.join(", ")
        ),
    };
    let hint = suggest::hint(&root.unraw().to_string(), known, &grammar);
    format!("this function has no argument `{root}`: {hint}")
}

/// Reports a cost that mentions an argument, without `args(…)`: it would be a constant.
fn check_cost(cost: &Cost, known: &[&str], errors: &mut Errors) {
    let expression = match cost {
        Cost::Const(expression) => expression.to_token_stream(),
        Cost::Function(path) if path.get_ident().is_some() => path.to_token_stream(),
        Cost::Function(_) | Cost::Args(_) => return,
    };
    let is_argument = match cost {
        Cost::Const(expression) => {
            roots(expression).iter().any(|root| known.contains(&root.unraw().to_string().as_str()))
        }
        _ => known.contains(&expression.to_string().as_str()),
    };
    if is_argument {
        let text = expression.to_string().replace(' ', "");
        errors.at(
            expression,
            format!("a cost of the function's arguments has a word: write `cost = args({text})`"),
        );
    }
}

/// Returns the names that the patterns of the function's arguments bind.
fn names(function: &Function) -> Vec<String> {
    let mut names = Vec::new();
    for argument in &function.sig.inputs {
        if let FnArg::Typed(argument) = argument {
            bound(argument.pat.to_token_stream(), &mut names);
        }
    }
    names
}

/// Adds the names that a pattern binds. These are its words in lower case, except those of paths and
/// of fields.
fn bound(pattern: TokenStream, names: &mut Vec<String>) {
    let mut tokens = pattern.into_iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) => bound(group.stream(), names),
            TokenTree::Ident(word) => {
                let is_field = matches!(tokens.peek(), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
                let is_call = matches!(tokens.peek(), Some(TokenTree::Group(_)));
                let text = word.unraw().to_string();
                let is_keyword = matches!(text.as_str(), "mut" | "ref" | "box" | "_");
                if !is_field && !is_call && !is_keyword && !suggest::is_constant(&word) {
                    names.push(text);
                }
            }
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
}

/// Returns the words in lower case from which fields are read and on which methods are called:
/// `user` in `user.id` and in `&user.name.len() + 1`. Words within calls and blocks are left out,
/// because they may have another meaning there.
fn roots(expression: &Expr) -> Vec<&Ident> {
    let inner = match expression {
        Expr::Path(path) => {
            let word = path.path.get_ident();
            let word = word.filter(|word| !suggest::is_constant(word) && *word != "self");
            return word.into_iter().collect();
        }
        Expr::Binary(binary) => {
            let mut both = roots(&binary.left);
            both.extend(roots(&binary.right));
            return both;
        }
        Expr::Field(field) => &field.base,
        Expr::MethodCall(call) => &call.receiver,
        Expr::Index(index) => &index.expr,
        Expr::Reference(reference) => &reference.expr,
        Expr::Unary(unary) => &unary.expr,
        Expr::Paren(paren) => &paren.expr,
        Expr::Group(group) => &group.expr,
        Expr::Cast(cast) => &cast.expr,
        _ => return Vec::new(),
    };
    roots(inner)
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    use super::*;

    fn names_of(function: TokenStream) -> Vec<String> {
        names(&syn::parse2(function).unwrap())
    }

    #[test]
    fn patterns_bind_names() {
        let function = quote::quote! {
            fn f(&mut self, id: u8, Json(mut body): Json<B>, (a, [b, ..]): T, Path(Id { x, y: r#type }): P,
                 _: Q, module::State(db): S, NONE: N) -> u8 { 1 }
        };
        assert_eq!(names_of(function), ["id", "body", "a", "b", "x", "type", "db"]);
    }

    #[test]
    fn expressions_have_roots() {
        let roots_of = |expression: Expr| -> Vec<String> {
            roots(&expression).into_iter().map(ToString::to_string).collect()
        };
        assert_eq!(roots_of(parse_quote!(user.id)), ["user"]);
        assert_eq!(roots_of(parse_quote!(&*a[0].b.len() as u32 + LIMIT * (c - 1))), ["a", "c"]);
        assert_eq!(roots_of(parse_quote!(self.id + self::x + f(y))), [""; 0]);
    }
}
