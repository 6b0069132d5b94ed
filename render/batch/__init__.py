"""Many videos at once. ``pipeline.py`` shows the flow.

inputs       which videos are meant: files, folders, and ``manifest``; each is an ``entry``, and ``files`` asks for them
plan         a job a video; what is wrong with them is told before any work
pictures     how large the videos' pictures are
admission    how many videos at once, and on which GPU each
leftovers    what killed processes have left is removed
state        what earlier runs into the same folder have made, and of what; its file is the ``journal``
schedule     what comes next, what has come of it, when it is over; knows no processes
crews        who does it: processes of this machine (``local``), or of a Ray cluster (``cluster``, and its ``nodes``)
work         one step of one video, in a worker's process
pulse        that a process goes on where no frame says so
stalls       reading where nobody may answer
faults       what went wrong, and what was done about it
reporting    what a person sees meanwhile (``live``), and at the end (``report``, ``page`` with the stills of ``sheet``)
endurance    both passes again and again (``soak``), and whether anything grows (``vitals``)
queueing     the queue on many machines, as a discrete-event simulation
simulation   what limits a batch on 10, 100 or 1,000 GPUs, by that and by what was measured
"""
