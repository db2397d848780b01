//! A component, but no function: it exports something else than the handler. Refused at upload.
// Natively there is nothing to build: no native linker takes the exports' names.
#![cfg(target_family = "wasm")]
#![allow(unsafe_code, unreachable_pub, reason = "the bindings are generated")]

wit_bindgen::generate!({
    inline: "
        package acme:tool;
        world tool {
            export run: func(arguments: list<string>) -> string;
        }
    ",
});

struct Tool;

impl Guest for Tool {
    fn run(arguments: Vec<String>) -> String {
        arguments.join(" ")
    }
}

export!(Tool);
