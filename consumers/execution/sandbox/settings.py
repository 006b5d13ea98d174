"""How programs are run on this host, from the environment."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.execution import Packages

MODELS = "models"
_DATA = ("numpy", "pandas", "scipy", "matplotlib", "pillow")
_TORCH = (*_DATA, "torch", "transformers", "safetensors")


class SandboxSettings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="MILLRACE_SANDBOX_", env_ignore_empty=True, extra="ignore")

    cpus: float = Field(2.0, gt=0)
    """Processors that one program may keep busy, where cgroups can bound that."""
    jobs_per_zygote: int = Field(5_000, ge=1)
    """Programs of one zygote share its address layout and hash seed; so many, and the next one takes over."""
    distributions: dict[Packages, tuple[str, ...]] = {
        Packages.PLAIN: (),
        Packages.DATA: _DATA,
        Packages.TORCH: _TORCH,
    }
    """What a program can import, with all that it needs. Those that are not installed here are left out."""
    preload: dict[Packages, tuple[str, ...]] = {
        Packages.PLAIN: (),
        Packages.DATA: ("numpy", "pandas"),
        Packages.TORCH: ("numpy", "pandas", "torch", "transformers"),
    }
    """What is imported before a program is there to ask for it. All of it must be installed."""
    preload_models: tuple[str, ...] = ("transformers.modeling_utils",)
    """What else is loaded for programs of the torch profile that speak of transformers. It takes two seconds, which
    nobody wants to wait, and twice the memory to fork, which those who want torch alone should not pay."""
    warm: tuple[Packages, ...] = (Packages.PLAIN,)
    """The profiles that are made ready at the start, rather than for the first program that wants them."""

    def needed(self, packages: Packages) -> set[str]:
        """The distributions that must be installed for a profile, which are called what they are imported as."""
        return {name.partition(".")[0] for name in self.preload[packages]}

    def zygote(self, packages: Packages, code: str) -> str:
        """Which of the warm interpreters a program is forked from."""
        return MODELS if packages is Packages.TORCH and "transformers" in code else packages.value
