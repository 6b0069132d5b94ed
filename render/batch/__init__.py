"""Many videos at once. ``pipeline.py`` shows the flow.

inputs       which videos are meant: files, folders, manifests
plan         a job a video; what is wrong with them is told before any work
pictures     how large the videos' pictures are
admission    how many videos at once, and on which GPU each
leftovers    what killed processes have left is removed
state        what earlier runs into the same folder have made, and of what
schedule     what comes next, what has come of it, when it is over; knows no processes
work         one step of one video, in a worker's process
engine       where it runs
local        the worker processes of this machine
cluster      workers on a Ray cluster
nodes        its nodes: whether they do the same work, see the same files, and what room they have
stalls       reading where nobody may answer
faults       what went wrong, and what was done about it
live         what a person sees meanwhile
report       what became of it; ``page`` shows it, with stills (``sheet``)
soak         both passes again and again; ``vitals`` tells whether anything grows
queueing     the queue on many machines, as a discrete-event simulation
simulation   what limits a batch on 10, 100 or 1,000 GPUs, by that and by what was measured
"""
