"""The track file: what pass one found, what a person reads and mends, and what pass two renders.

schema       columns and types of the profile ``dft_tracks``
columns      the columns of a table as numpy arrays
records      dataclasses to JSON objects and back
metadata     what the file says about its video, persons, shots and suspects
validate     whether a table keeps to the profile (its rules: ``rules``)
files        reading and writing, and the match with a video
atomic       results that are whole or not there
fingerprint  telling one video file from another
summary      what a track file holds, in numbers
score        how right a track file is, by what is known to be right (``truth``)
plot         what a track file holds, in one picture
timecode     seconds as people read them
commands     the commands that say what it holds
edits/       corrections: operations, their log, replay and differences
interchange/ the formats of other tools: CVAT, MOTChallenge, COCO-VID, CSV
review/      the page on which doubtful moments are decided: its server, and in static/ what runs in the browser

Imports ``configs`` only.
"""
