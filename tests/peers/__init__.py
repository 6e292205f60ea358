"""Programs we did not write, as the tests start them: DCMTK's and Orthanc.

`python -m tests.peers` makes sure that they are installed. Programs are named by their full path: pynetdicom puts
scripts of the same names into a virtual environment.
"""
