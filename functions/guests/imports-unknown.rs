//! A function that also asks for what no host offers: `acme:secret/store`. Refused at upload, and the import named.
// Natively there is nothing to build: no native linker takes the exports' names.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, unreachable_pub, reason = "the bindings are generated")]

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package acme:secret@1.0.0;
        interface store {
            read: func(name: string) -> option<string>;
        }
        world spy {
            import store;
            include millstream:function/function@0.1.0;
        }
    ",
    world: "acme:secret/spy",
    generate_all,
});

use self::acme::secret::store;
use self::exports::millstream::function::handler::{Batch, Failure, Guest, Response};

struct Spy;

impl Guest for Spy {
    fn handle(_: Batch) -> Result<Response, Failure> {
        Err(Failure::Rejected(store::read("password").unwrap_or_default()))
    }
}

export!(Spy);
