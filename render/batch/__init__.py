"""Many videos at once. ``pipeline.py`` shows the flow.

inputs       which videos are meant: files, folders, manifests
plan         a job a video; what is wrong with them is told before any work
leftovers    what killed processes have left is removed
state        what earlier runs into the same folder have made, and of what
schedule     what comes next, what has come of it, when it is over; knows no processes
work         one step of one video, in a worker's process
local        the worker processes of this machine
faults       what went wrong, and what was done about it
live         what a person sees meanwhile
report       what became of it; ``page`` shows it, with stills (``sheet``)
"""
