"""XMP is written into each format that toolbox writes, and the pixels stay the same."""

from __future__ import annotations

import io as streams
from xml.etree import ElementTree

import numpy as np
import pytest
from pictures import smooth
from PIL import Image

from toolbox.guidance.provenance import Origin, source_type
from toolbox.imaging import io
from toolbox.imaging.xmp import source_type_packet

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_other_programs_read_the_source_type(name):
    data, notes = io.encode(smooth(), name, xmp=source_type_packet("compositeCapture"))
    with Image.open(streams.BytesIO(data)) as opened:
        packet = opened.info["xmp"]
    (description,) = ElementTree.fromstring(packet.decode().strip("\0")).iter(f"{{{RDF}}}Description")
    assert (
        description.attrib[f"{{{IPTC}}}DigitalSourceType"]
        == "http://cv.iptc.org/newscodes/digitalsourcetype/compositeCapture"
    )
    assert not notes
    plain = io.encode(smooth(), name)[0]
    assert np.array_equal(io.decode(data, "x").pixels, io.decode(plain, "x").pixels)


@pytest.mark.parametrize(
    ("origins", "term"),
    [
        ([Origin.KNOWN], "digitalCapture"),
        ([Origin.KNOWN, Origin.COLOUR_FROM_HINT], "humanEdits"),
        ([Origin.KNOWN, Origin.FILLED_FROM_REFERENCE, Origin.COLOUR_FROM_HINT], "compositeCapture"),
        ([Origin.COLOUR_FROM_REFERENCE, Origin.COLOUR_FROM_NETWORK], "compositeWithTrainedAlgorithmicMedia"),
    ],
)
def test_the_term_depends_on_what_the_picture_is_made_of(origins, term):
    assert source_type(np.array([origins], np.uint8)) == term
