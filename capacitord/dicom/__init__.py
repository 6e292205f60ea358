"""The wire: storage SCP and SCU; the only importer of pynetdicom and pydicom."""
