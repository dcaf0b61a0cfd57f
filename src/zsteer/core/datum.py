"""The former name of ``SampleSpec``, until the kits have the new one."""

from zsteer.core.sample_spec import SampleSpec as Datum

__all__ = ["Datum"]
