"""Track files in the formats of other tools, and corrections back from them.

formats     the formats by name, and how their files are told apart
exporting   writing a track file in any of the formats
importing   corrections as edits in the log
commands    dft tracks export, dft tracks import
imported    the boxes that a file of another tool holds, before they are matched with the base
matching    which row of the base an imported box is, and whose
correcting  the base's table with an imported file's corrections
keyframes   stretches of a track, few keyframes for it, and interpolation between keyframes as CVAT does it
cvat        CVAT for video XML 1.1 (reading: ``cvat_reader``)
mot         MOTChallenge, with a file beside it for persons and sides
coco        COCO-VID
plain       CSV with a header

Imports ``configs``, ``trackio`` and ``trackio.edits``.
"""
