"""Several workers and several hosts on one register: what is promised must hold whoever dies or is cut off.

`kills` ends workers at random under load, `partitions` cuts hosts off, `failovers` takes the primary away. Each is a
command of its own that prints what it found and ends with 1 when anything was lost, doubled or answered twice. `soak`
leaves the workers alone and takes their servers away, for as long as very many mails take.
"""
