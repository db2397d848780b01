//! The bytes of the two uploads. Each is valid: nothing but a bound on compiling, or the question whether this is a
//! component at all, can refuse it.

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, ExportKind, ExportSection, Function, FunctionSection,
    GlobalSection, GlobalType, Instruction, MemorySection, MemoryType, Module, TypeSection,
    ValType,
};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{Resolve, WorldItem, WorldKey};

type Error = Box<dyn std::error::Error + Send + Sync>;

const WORLD: &str = include_str!("../../../../wit/function.wit");

/// Cranelift's time is quadratic in the depth of loops: this many take it about sixteen seconds, in 60 KB.
const LOOPS: usize = 20_000;

/// A function of our world, well typed, whose `handle` is nothing but loops in each other.
pub(crate) fn compiles_forever() -> Result<Vec<u8>, Error> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("function.wit", WORLD)?;
    let world = resolve.select_world(&[package], Some("function"))?;
    let (export, parameters, results) = handle_of(&resolve, world)?;

    let mut types = TypeSection::new();
    types.ty().function(parameters, results);
    types.ty().function([ValType::I32; 4], [ValType::I32]);
    let mut functions = FunctionSection::new();
    functions.function(0).function(1);
    let mut memories = MemorySection::new();
    memories.memory(memory());
    let mut exports = ExportSection::new();
    exports
        .export(&export, ExportKind::Func, 0)
        .export("cabi_realloc", ExportKind::Func, 1)
        .export("memory", ExportKind::Memory, 0);
    let mut code = CodeSection::new();
    code.function(&loops()).function(&unreachable());
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&memories).section(&exports).section(&code);
    let mut module = module.finish();

    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    Ok(ComponentEncoder::default().module(&module)?.validate(true).encode()?)
}

/// What a C compiler makes of a file when nobody told it about components.
pub(crate) fn core_module() -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let mut functions = FunctionSection::new();
    functions.function(0);
    let mut memories = MemorySection::new();
    memories.memory(memory());
    let mut globals = GlobalSection::new();
    let counter = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
    globals.global(counter, &ConstExpr::i32_const(0));
    let mut exports = ExportSection::new();
    exports.export("handle", ExportKind::Func, 0).export("memory", ExportKind::Memory, 0);
    let mut code = CodeSection::new();
    code.function(&unreachable());
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&memories).section(&globals);
    module.section(&exports).section(&code);
    module.finish()
}

/// The export's name and the core type that the canonical ABI gives it.
fn handle_of(
    resolve: &Resolve,
    world: wit_parser::WorldId,
) -> Result<(String, Vec<ValType>, Vec<ValType>), Error> {
    let (key, item) = resolve.worlds[world].exports.first().ok_or("the world exports nothing")?;
    let (WorldItem::Interface { id, .. }, WorldKey::Interface(_)) = (item, key) else {
        return Err("the world exports something that is no interface".into());
    };
    let handle = resolve.interfaces[*id].functions.get("handle").ok_or("there is no `handle`")?;
    let signature = resolve.wasm_signature(AbiVariant::GuestExport, handle);
    let core = |types: &[WasmType]| types.iter().map(core_type).collect::<Result<Vec<_>, _>>();
    let name = format!("{}#handle", resolve.name_world_key(key));
    Ok((name, core(&signature.params)?, core(&signature.results)?))
}

fn core_type(of: &WasmType) -> Result<ValType, Error> {
    match of {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => Ok(ValType::I32),
        WasmType::I64 => Ok(ValType::I64),
        other => Err(format!("no parameter of `handle` was ever passed as {other:?}").into()),
    }
}

fn loops() -> Function {
    let mut body = Function::new([]);
    for _ in 0..LOOPS {
        body.instruction(&Instruction::Loop(BlockType::Empty));
    }
    for _ in 0..LOOPS {
        body.instruction(&Instruction::End);
    }
    body.instruction(&Instruction::Unreachable).instruction(&Instruction::End);
    body
}

fn unreachable() -> Function {
    let mut body = Function::new([]);
    body.instruction(&Instruction::Unreachable).instruction(&Instruction::End);
    body
}

fn memory() -> MemoryType {
    MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None }
}
