"""Charts of lines: what is drawn, and what cannot stand on an axis."""

import re
from xml.etree import ElementTree as ET

import pytest

from zsteer.errors import InputError
from zsteer.evaluate.curves import chart


def test_a_chart_is_whole_xml_with_a_line_and_labels():
    picture = chart(
        {"L_t": [(1.0, 2.0), (10.0, 0.5), (1000.0, 0.01)]}, across="t", up="bits", log_across=True, log_up=True
    )
    root = ET.fromstring(picture)  # noqa: S314 - our own
    texts = [node.text for node in root.iter() if node.tag.endswith("text")]
    assert {"1", "10", "100", "1000", "L_t", "t", "bits"} <= set(texts)
    (line,) = [node for node in root.iter() if node.tag.endswith("polyline")]
    points = [tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()]
    # Equal factors are equal distances on a logarithmic axis: 1 to 10 is half of 10 to 1,000.
    assert 2 * (points[1][0] - points[0][0]) == pytest.approx(points[2][0] - points[1][0], abs=0.2)
    assert points[0][1] < points[1][1] < points[2][1]


def test_linear_ticks_are_round():
    texts = re.findall(r">([-0-9.e]+)</text>", chart({"a": [(0.0, 0.0), (7.0, 0.31)]}, across="x", up="y"))
    assert {"0", "2", "4", "6", "0.1", "0.3"} <= set(texts)


@pytest.mark.parametrize(
    "lines", [{}, {"a": []}, {"a": [(0.0, 1.0)]}, {"a": [(1.0, float("nan"))]}, {"a": [(1.0, float("inf"))]}]
)
def test_what_cannot_be_drawn_is_refused(lines):
    with pytest.raises(InputError):
        chart(lines, across="x", up="y", log_across=True)
