"""XMP metadata: how a picture was made, in the terms of the IPTC."""

from __future__ import annotations

from typing import Literal

# Terms of the vocabulary "Digital Source Type" of the IPTC.
DigitalSourceType = Literal[
    "compositeWithTrainedAlgorithmicMedia",
    "compositeCapture",
    "humanEdits",
    "algorithmicallyEnhanced",
    "digitalCapture",
]

# What the packet names its property.
SOURCE_PROPERTY = b"Iptc4xmpExt:DigitalSourceType"
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
    Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/{term}"/>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def source_type_packet(term: DigitalSourceType) -> bytes:
    """Return an XMP packet with the property DigitalSourceType of the IPTC Photo Metadata Standard."""
    return _PACKET.format(term=term).encode()
