"""What exists in kits: a kit for each domain, and the methods in the order in which they are tried. Imports no torch.

The domain of a model follows from the name of its space, which stands in its artifact. Which methods a help page shows
follows from the protocols that the model's kind declares (``core.catalog``) and from the domain; whether a method fits
is the method's own answer, with the model in hand.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from zsteer.core import catalog
from zsteer.core.catalog import load_name
from zsteer.core.config import read_config
from zsteer.core.options import Option, Options
from zsteer.errors import ArtifactError, CapabilityError

__all__ = [
    "DOMAINS",
    "METHODS",
    "PROTOCOL_DOMAINS",
    "About",
    "DomainRow",
    "Flag",
    "MethodRow",
    "about",
    "about_config",
    "check_file",
    "domain_of",
]


@dataclass(frozen=True)
class DomainRow:
    """A domain.

    Args:
        spaces: names of the spaces that its models may have.
        kit: ``module:class``.
        options: ``module:name`` of what ``--toward`` and ``--keep`` take.
        further: ``module:function`` from the description of a model's space, and the names of the protocols that its
            kind declares, to further options; empty for none.
        checked: whether the domain knows samples that are not valid, so that they can be drawn again.
        check: ``module:function`` of a file and keywords of the kit's ``read`` that refuses a bad file without torch;
            empty for none.
        recognises: ``module:function`` from a path (and a column, where one can be named) to what it holds
            of this domain, in words; empty for nothing.
        report: ``module:function`` from a path and keywords of reading to the ``Inventory`` of what is read.
        column: what a column named by ``--column`` holds; empty where none is named.
        general: whether its files are those that no other domain recognises.
    """

    spaces: tuple[str, ...]
    kit: str
    options: str
    further: str = ""
    checked: bool = False
    check: str = ""
    recognises: str = ""
    report: str = ""
    column: str = ""
    general: bool = False


DOMAINS: Mapping[str, DomainRow] = MappingProxyType(
    {
        "images": DomainRow(
            ("images", "segments"),
            "zsteer.kits.images.kit:ImageKit",
            "zsteer.kits.images.options:OPTIONS",
            further="zsteer.kits.images.options:class_option",
            recognises="zsteer.domains.images.files:recognises",
            report="zsteer.domains.images.files:report",
        ),
        "molecules": DomainRow(
            ("molecules",),
            "zsteer.kits.molecules.kit:MoleculeKit",
            "zsteer.kits.molecules.options:OPTIONS",
            checked=True,
            recognises="zsteer.domains.molecules.files:recognises",
            report="zsteer.domains.molecules.files:report",
            column="SMILES",
        ),
        "ratings": DomainRow(
            ("ratings",),
            "zsteer.kits.ratings.kit:RatingKit",
            "zsteer.kits.ratings.options:OPTIONS",
            recognises="zsteer.domains.ratings.files:recognises",
            report="zsteer.domains.ratings.files:report",
        ),
        "sequences": DomainRow(
            ("sequences", "residues"),
            "zsteer.kits.sequences.kit:SequenceKit",
            "zsteer.kits.sequences.options:OPTIONS",
            checked=True,
            check="zsteer.domains.sequences.rows:check",
            recognises="zsteer.domains.sequences.files:recognises",
            report="zsteer.domains.sequences.files:report",
            column="CDR3s",
        ),
        "tables": DomainRow(
            ("tables",),
            "zsteer.kits.tables.kit:TableKit",
            "zsteer.kits.tables.options:OPTIONS",
            further="zsteer.kits.tables.options:column_options",
            recognises="zsteer.domains.tables.files:recognises",
            report="zsteer.domains.tables.files:report",
            general=True,
        ),
    }
)
"""By name; the same word in every room."""


@dataclass(frozen=True)
class MethodRow:
    """A method, as the front door makes it.

    Args:
        name: guide, edit, search, rerank or refit.
        make: ``module:function`` from a context to the method.
        options: ``module:class`` of each of its options.
        protocols: names of protocols, of which the model's kind must declare one; empty for any.
        domains: where it belongs; empty for all.
        toward: names of ``--toward`` that no other method takes.
        help: what it does, in a few words.
        conditions: whether it samples under ``--given``.
        starts: whether it changes samples; without any it is taken only where it is named.
    """

    name: str
    make: str
    options: tuple[str, ...]
    protocols: tuple[str, ...] = ()
    domains: tuple[str, ...] = ()
    toward: tuple[str, ...] = ()
    help: str = field(default="")
    conditions: bool = True
    starts: bool = False

    def lists(self, kind: str, domain: str) -> bool:
        """Whether a help page of such a model shows it."""
        able = not self.protocols or any(name in _offers(kind) for name in self.protocols)
        return able and (not self.domains or domain in self.domains)

    def option_classes(self) -> list[type[BaseModel]]:
        """The classes of its options."""
        return [load_name(target) for target in self.options]


_SAMPLING = "zsteer.steer.options:SamplingOptions"
_DRAWING = "zsteer.steer.options:DrawOptions"
_OTHERS = tuple(name for name in DOMAINS if name != "ratings")

METHODS: tuple[MethodRow, ...] = (
    MethodRow(
        "guide",
        "zsteer.kits.methods:guide",
        ("zsteer.steer.options:GuideOptions", _SAMPLING, _DRAWING),
        protocols=("Conditional", "Grouped"),
        help="sample a diffusion model with a pull towards the goal",
    ),
    MethodRow(
        "guide",
        "zsteer.kits.methods:guided_editing",
        ("zsteer.kits.sequences.options:EditorOptions",),
        protocols=("GuidedEditor",),
        domains=("sequences",),
        help="edit templates by a guided decoder within a budget of edits",
        conditions=False,
        starts=True,
    ),
    MethodRow(
        "edit",
        "zsteer.kits.methods:code_editing",
        ("zsteer.kits.sequences.options:CodeEditorOptions",),
        protocols=("CodeEditor",),
        domains=("sequences",),
        toward=("like",),
        help="edit templates by the code of what they bind, within a budget of edits",
        conditions=False,
        starts=True,
    ),
    MethodRow(
        "edit",
        "zsteer.kits.methods:latent_edit",
        ("zsteer.steer.latent_options:LatentOptions",),
        protocols=("Codec",),
        domains=_OTHERS,
        toward=("like",),
        help="move the code of each sample along fitted heads, and measure what comes out",
        conditions=False,
        starts=True,
    ),
    MethodRow(
        "search",
        "zsteer.kits.methods:search",
        ("zsteer.steer.search.options:SearchOptions",),
        protocols=("Proposes",),
        domains=_OTHERS,
        help="change samples step by step and keep what measures better",
        starts=True,
    ),
    MethodRow(
        "rerank",
        "zsteer.kits.methods:rerank",
        ("zsteer.steer.search.options:RerankOptions",),
        protocols=("Generative",),
        domains=_OTHERS,
        help="draw many samples and keep those that measure best",
    ),
    MethodRow(
        "refit",
        "zsteer.kits.methods:refit",
        ("zsteer.steer.refit.options:RefitOptions",),
        protocols=("Refittable",),
        domains=_OTHERS,
        help="let the model learn from its own draws, weighed by the goal, until it makes what is wanted",
        conditions=False,
    ),
    MethodRow(
        "rerank",
        "zsteer.kits.methods:recommend",
        ("zsteer.kits.ratings.options:RecommendOptions",),
        domains=("ratings",),
        help="rank the items that a user has not rated",
        conditions=False,
    ),
)
"""In the order in which they are tried; ``zsteer bench matrix`` shows what each reaches."""


def domain_of(space: Mapping[str, Any], kind: str) -> str:
    """The domain of a model.

    Raises:
        CapabilityError: if its space belongs to none.
    """
    name = space.get("name")
    for domain, row in DOMAINS.items():
        if name in row.spaces:
            return domain
    if name is None:
        raise CapabilityError(f"a model of kind {kind!r} neither samples nor steers; it is a part of others")
    raise CapabilityError(f"no domain has the space {name!r} of this model of kind {kind!r}")


@dataclass(frozen=True)
class Flag:
    """An option as a flag of the command line.

    Args:
        name: of the option.
        annotation: its type.
        default: its value when absent; None where methods differ, and each takes its own.
        help: what it is.
    """

    name: str
    annotation: Any
    default: Any
    help: str


@dataclass(frozen=True)
class About:
    """What a user may say about a model, without loading it.

    Args:
        kind: of the model.
        domain: of its samples.
        options: of the domain and of the model.
        methods: that may fit, in order.
    """

    kind: str
    domain: str
    options: Options
    methods: tuple[MethodRow, ...]

    @property
    def offers(self) -> tuple[str, ...]:
        """Names of the protocols that models of this kind offer."""
        return _offers(self.kind)

    @property
    def holds(self) -> bool:
        """Whether a method may hold properties and parts of a start."""
        return "Proposes" in self.offers or "Codec" in self.offers or self.domain == "molecules"

    @property
    def judged(self) -> bool:
        """Whether samples are made for peptides, which a judge knows or not."""
        return "peptide" in self.options.at("given")

    def flags(self) -> list[Flag]:
        """Options of the methods."""
        found: dict[str, list[tuple[str, Any]]] = {}
        for row in self.methods:
            for cls in row.option_classes():
                for name, info in cls.model_fields.items():
                    if _belongs(info, self.domain):
                        found.setdefault(name, []).append((row.name, info))
        return [_flag(name, entries) for name, entries in found.items()]

    def sampling_flags(self) -> list[Flag]:
        """Options of sampling, the model's own left out."""
        classes = [load_name(_DRAWING)]
        if "Conditional" in self.offers or "Grouped" in self.offers:
            classes.insert(0, load_name(_SAMPLING))
        fields = {name: info for cls in classes for name, info in cls.model_fields.items()}
        # The nearest of several is near to the value of a condition that can be measured.
        if not DOMAINS[self.domain].checked or not {*self.options.at("given")} & {*self.options.at("toward")}:
            del fields["best_of"]
        return [_flag(name, [("", info)]) for name, info in fields.items() if _belongs(info, self.domain)]


def _offers(kind: str) -> tuple[str, ...]:
    return catalog.MODELS[kind].protocols if kind in catalog.MODELS else ()


def _belongs(info: Any, domain: str) -> bool:
    """Whether an option means something in a domain; it says so where it does not everywhere."""
    extra = info.json_schema_extra
    return not isinstance(extra, dict) or domain in extra.get("domains", (domain,))


def _flag(name: str, entries: list[tuple[str, Any]]) -> Flag:
    """One flag of an option that several methods may declare."""
    infos = [info for _, info in entries]
    first = infos[0]
    if all((info.description, info.default) == (first.description, first.default) for info in infos):
        return Flag(name, first.annotation, first.default, first.description or "")
    alike = all(info.default == first.default for info in infos)
    texts = [
        f"{method}: {info.description}" + ("" if alike else f" ({info.default} when absent)")
        for method, info in entries
    ]
    if alike:
        return Flag(name, first.annotation, first.default, "; ".join(texts))
    return Flag(name, first.annotation | None, None, "; ".join(texts))


def about(folder: Path) -> About:
    """Read what a user may say about the model of an artifact folder. Imports no torch.

    Raises:
        ArtifactError: if the folder is damaged.
        CapabilityError: if such models neither sample nor steer.
    """
    config = read_config(folder)
    found = about_config(config["kind"], config.get("space") or {}, _options(config.get("options") or ()))
    if not found.methods and "Generative" not in found.offers:
        raise CapabilityError(f"a model of kind {found.kind!r} neither samples nor steers; it is a part of others")
    return found


def about_config(kind: str, space: Mapping[str, Any], own: tuple[Option, ...]) -> About:
    """The same from what an artifact, or a model in memory, declares."""
    domain = domain_of(space, kind)
    row = DOMAINS[domain]
    options: Options = load_name(row.options)
    if row.further:
        try:
            options = options.add(load_name(row.further)(space, _offers(kind)))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ArtifactError(
                f"the description of the {domain} in the artifact is damaged ({error!r}); fetch or train it again"
            ) from None
    methods = tuple(method for method in METHODS if method.lists(kind, domain))
    reached = {name for method in methods for name in method.toward}
    lost = {name for method in METHODS for name in method.toward} - reached
    entries = (entry for entry in options.entries if entry.place != "toward" or entry.name not in lost)
    return About(kind, domain, Options(options.noun, options.files, tuple(entries)).add(own), methods)


PROTOCOL_DOMAINS: Mapping[str, str] = MappingProxyType({"tcr": "sequences"})
"""Protocol of evaluation -> the domain whose files it reads, where that can be told without its module."""


def check_file(domain: str, path: Path, **reading: Any) -> int:
    """Refuse a file that cannot be read before a model is loaded, where the domain can tell. Imports no torch.

    Args:
        domain: whose file it is.
        path: the file.
        **reading: keywords of the kit's ``read``.

    Returns:
        How many things it holds; 0 where the domain does not tell.

    Raises:
        InputError: if it cannot be read.
    """
    row = DOMAINS.get(domain)
    return load_name(row.check)(path, **reading).count if row is not None and row.check else 0


def _options(entries: Any) -> tuple[Option, ...]:
    return tuple(Option(**dict(entry, choices=tuple(entry.get("choices", ())))) for entry in entries)
