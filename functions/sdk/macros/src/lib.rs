//! The attribute `#[millstream::function]`.
//!
//! What lives here is only what a function cannot do: reading the handler's name and writing the component's export
//! beside it. Which shapes a handler may have is decided by the traits in `millstream::handler`, never here, so that a
//! wrong one is reported in the words of the type checker. No parser crate: the name is the token after `fn`.

use proc_macro::{Delimiter, TokenStream, TokenTree};

/// Makes the function below it the component's handler. See the documentation of `millstream`.
#[proc_macro_attribute]
pub fn function(arguments: TokenStream, item: TokenStream) -> TokenStream {
    if !arguments.is_empty() {
        return error("`#[millstream::function]` takes no arguments");
    }
    let Some(name) = name_of(item.clone()) else {
        return error("`#[millstream::function]` belongs above a function");
    };
    let export: TokenStream = format!(
        "const _: () = {{
            #[derive(Debug)]
            struct Function;
            impl ::millstream::bindings::Guest for Function {{
                fn handle(
                    batch: ::millstream::bindings::Batch,
                ) -> ::core::result::Result<::millstream::bindings::Response, ::millstream::bindings::Failure> {{
                    ::millstream::handler::run({name}, batch)
                }}
            }}
            // Natively nothing calls it, and the compiler would take the handler for dead.
            let _ = <Function as ::millstream::bindings::Guest>::handle;
            #[cfg(target_family = \"wasm\")]
            ::millstream::bindings::export!(Function with_types_in ::millstream::bindings);
        }};"
    )
    .parse()
    .expect("the text above is Rust");
    item.into_iter().chain(export).collect()
}

fn name_of(item: TokenStream) -> Option<String> {
    let mut tokens = item.into_iter();
    tokens.find(|token| matches!(token, TokenTree::Ident(word) if word.to_string() == "fn"))?;
    match (tokens.next(), tokens.next()) {
        (Some(TokenTree::Ident(name)), Some(TokenTree::Group(parameters)))
            if parameters.delimiter() == Delimiter::Parenthesis =>
        {
            Some(name.to_string())
        }
        // Type parameters, which an export cannot have, or no function at all.
        _ => None,
    }
}

fn error(message: &str) -> TokenStream {
    format!("::core::compile_error!({message:?});").parse().expect("the text above is Rust")
}
