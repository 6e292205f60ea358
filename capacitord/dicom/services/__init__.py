"""The services by which scanners tell of their images: MPPS and storage commitment, as SCP on the storage port.

pynetdicom decodes their messages; what they mean is read by pure functions over datasets, and kept by whoever
implements `seam.Notices`.
"""
