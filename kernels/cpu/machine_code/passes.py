"""How Numba's compiler is told to do less for a kernel than it does for any function.

A *piece* is code that is only ever copied into the code that calls it. Numba makes machine code of
whatever it compiles, also of what never runs by itself. A piece ends as LLVM's intermediate code,
not optimised either: that is done once, where it has been copied to.
"""

from __future__ import annotations

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.compiler_machinery import PassManager

NOT_NEEDED = {
    "WithLifting",
    "InlineClosureLikes",
    "RewriteDynamicRaises",
    "MakeFunctionToJitFunction",
    "InlineInlinables",
    "FindLiterallyCalls",
    "LiteralUnroll",
    "LiteralPropagationSubPipelinePass",
    "InlineOverloads",
    "DumpParforDiagnostics",
}
"""Passes of Numba's for what no kernel has: closures, contexts, objects, ``inline="always"``."""


class _Kernel(JITCodeLibrary):  # type: ignore[misc]
    def _optimize_functions(self, module: Any) -> None:
        module.data_layout = self._codegen._data_layout

    def _optimize_final_module(self) -> None:
        made = self._codegen._module_pass_manager()
        if isinstance(made, tuple):  # passes and what builds them, as LLVM has it today
            made[0].run(self._final_module, made[1])
        else:
            made.run(self._final_module)


class _Piece(_Kernel):
    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalized = True


class KernelCompiler(Compiler):  # type: ignore[misc]
    """Compiles a kernel with one pass of LLVM's optimiser over all of it.

    Numba optimises each function by itself, then all of them a little, to find counts of references
    that cancel out, and then as well as it can. Kernels count no references, and the last of these
    makes of them the same machine code.
    """

    _library_class: type[JITCodeLibrary] = _Kernel

    def compile_extra(self, function: Any) -> Any:
        """Compile a function of Python."""
        codegen = self.state.targetctx.codegen()
        self.state.library = self._library_class(codegen, function.__qualname__)
        self.state.library.enable_object_caching()
        return super().compile_extra(function)

    def define_pipelines(self) -> list[Any]:
        """Give Numba's passes without those that find nothing to do."""
        pipelines = []
        for numbas in super().define_pipelines():
            ours = PassManager(numbas.pipeline_name)
            ours.passes.extend(p for p in numbas.passes if p[0].__name__ not in NOT_NEEDED)
            ours.finalize()
            pipelines.append(ours)
        return pipelines


class PieceCompiler(KernelCompiler):
    """Compiles a piece, as far as LLVM's intermediate code."""

    _library_class = _Piece

    def compile_extra(self, function: Any) -> Any:
        """Compile a function of Python."""
        self.state.flags.no_compile = True
        return super().compile_extra(function)
