"""The whole driver on lab hosts: what the demo, the lab tests, csi-sanity and the bench share."""
