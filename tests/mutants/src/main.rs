//! Prints where the pieces of Rust files are that a mutant may replace, as one JSON object a line.
//!
//! `extents FILE…` takes the files to read. Positions are offsets in bytes.

use std::ops::Range;

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

fn main() {
    for path in std::env::args().skip(1) {
        let text = std::fs::read_to_string(&path).expect("the file can be read");
        let file = syn::parse_file(&text).expect("the file is Rust");
        Printer { path }.visit_file(&file);
    }
}

struct Printer {
    path: String,
}

impl Printer {
    /// Prints a piece: its kind, the place by which the list of mutants names it, and further extents.
    fn print(&self, kind: &str, at: usize, further: &[(&str, Range<usize>)]) {
        let further: String = further
            .iter()
            .map(|(name, it)| format!(r#","{name}":[{},{}]"#, it.start, it.end))
            .collect();
        println!(r#"{{"file":"{}","kind":"{kind}","at":{at}{further}}}"#, self.path);
    }

    fn print_body(&self, block: &syn::Block) {
        let inside = block.brace_token.span.open().byte_range().end;
        let first = block.stmts.first().map_or(inside, start);
        self.print("body", first, &[("whole", inside..inside)]);
    }
}

fn extent(it: &impl Spanned) -> Range<usize> {
    let first: Span = it.span();
    first.byte_range()
}

fn start(it: &impl Spanned) -> usize {
    extent(it).start
}

/// Returns true for a `let` in a chain of conditions, which cannot stand in another expression.
fn has_let(it: &syn::Expr) -> bool {
    match it {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(it) => has_let(&it.left) || has_let(&it.right),
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Printer {
    fn visit_item_fn(&mut self, it: &'ast syn::ItemFn) {
        self.print_body(&it.block);
        visit::visit_item_fn(self, it);
    }

    fn visit_impl_item_fn(&mut self, it: &'ast syn::ImplItemFn) {
        self.print_body(&it.block);
        visit::visit_impl_item_fn(self, it);
    }

    fn visit_trait_item_fn(&mut self, it: &'ast syn::TraitItemFn) {
        if let Some(block) = &it.default {
            self.print_body(block);
        }
        visit::visit_trait_item_fn(self, it);
    }

    fn visit_expr_binary(&mut self, it: &'ast syn::ExprBinary) {
        let kind = if has_let(&it.left) || has_let(&it.right) { "chain" } else { "binary" };
        self.print(kind, start(&it.op), &[("whole", extent(it)), ("operator", extent(&it.op))]);
        visit::visit_expr_binary(self, it);
    }

    fn visit_expr_unary(&mut self, it: &'ast syn::ExprUnary) {
        self.print("unary", start(&it.op), &[("whole", extent(it)), ("operator", extent(&it.op))]);
        visit::visit_expr_unary(self, it);
    }

    fn visit_arm(&mut self, it: &'ast syn::Arm) {
        let mut further = vec![("whole", extent(&it.pat))];
        if let syn::Pat::Guard(guarded) = &it.pat {
            further.push(("guard", extent(&guarded.guard)));
            self.print("guard", start(&guarded.guard), &[("whole", extent(&guarded.guard))]);
        }
        self.print("arm", start(it), &further);
        visit::visit_arm(self, it);
    }

    fn visit_expr_struct(&mut self, it: &'ast syn::ExprStruct) {
        if let Some(rest) = &it.rest {
            for field in &it.fields {
                let whole = [
                    ("whole", extent(field)),
                    ("value", extent(&field.expr)),
                    ("rest", extent(rest)),
                ];
                self.print("field", start(field), &whole);
            }
        }
        visit::visit_expr_struct(self, it);
    }
}
