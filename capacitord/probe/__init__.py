"""The probe: the process that speaks DICOM for the box itself, over sockets that the supervisor has connected."""
