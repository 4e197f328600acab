"""What lvm2 2.03.31 answered on a lab host, byte for byte, its long object columns apart."""

REPORT = rb"""  {
      "report": [
          {
              "vg": [
                  {"vg_name":"vg0", "vg_uuid":"LrGYpj-TdLe-1OMD-Ec6y-vdT8-22AS-ctWgtV", "vg_size":"4290772992", "vg_free":"3141533696", "vg_extent_size":"4194304", "vg_mda_size":"1044480", "vg_mda_free":"518656", "vg_missing_pv_count":"0", "vg_tags":""}
              ]
              ,
              "pv": [
                  {"pv_name":"/dev/ubdb", "pv_size":"4290772992", "pv_free":"3141533696", "pv_missing":""}
              ]
              ,
              "lv": [
                  {"lv_name":"pool", "lv_uuid":"d20mS7-n8cb-0All-9A4g-cK3D-dwTq-4cIfnp", "lv_size":"1073741824", "lv_tags":"", "lv_layout":"thin,pool", "lv_active":"active", "lv_kernel_major":"254", "lv_kernel_minor":"2", "pool_lv":"", "data_percent":"0.00", "metadata_percent":"11.04", "lv_metadata_size":"4194304", "lv_when_full":"queue", "sync_percent":"", "lv_health_status":""},
                  {"lv_name":"[pool_tdata]", "lv_uuid":"fkTrj6-CBFy-lmvs-Mn8d-aRGk-sPUL-PZPFnl", "lv_size":"1073741824", "lv_tags":"", "lv_layout":"linear", "lv_active":"active", "lv_kernel_major":"254", "lv_kernel_minor":"1", "pool_lv":"", "data_percent":"", "metadata_percent":"", "lv_metadata_size":"", "lv_when_full":"", "sync_percent":"", "lv_health_status":""},
                  {"lv_name":"vol-a", "lv_uuid":"bsdB4C-wJNI-v8Uw-lufz-WBOj-r23a-2FbJkx", "lv_size":"134217728", "lv_tags":"clinker.id=vol-a,clinker.name=pvc/a", "lv_layout":"thin,sparse", "lv_active":"active", "lv_kernel_major":"254", "lv_kernel_minor":"4", "pool_lv":"pool", "data_percent":"", "metadata_percent":"", "lv_metadata_size":"", "lv_when_full":"", "sync_percent":"", "lv_health_status":""},
                  {"lv_name":"vol-b", "lv_uuid":"ThyW2B-zVvf-oDtd-pFfM-tb1T-wV6u-NJiXsh", "lv_size":"67108864", "lv_tags":"", "lv_layout":"linear", "lv_active":"", "lv_kernel_major":"-1", "lv_kernel_minor":"-1", "pool_lv":"", "data_percent":"", "metadata_percent":"", "lv_metadata_size":"", "lv_when_full":"", "sync_percent":"", "lv_health_status":""}
              ]
              ,
              "pvseg": [
              ]
              ,
              "seg": [
                  {"lv_name":"pool", "thin_id":"", "zero":"zero"},
                  {"lv_name":"vol-a", "thin_id":"1", "zero":"zero"}
              ]
          }
      ]
      ,
      "log": [
          {"log_seq_num":"3", "log_type":"warn", "log_context":"processing", "log_message":"WARNING: Cannot find matching thin segment for vg0/vol-a.", "log_ret_code":"0"},
          {"log_seq_num":"15", "log_type":"status", "log_context":"shell", "log_message":"success", "log_ret_code":"1"}
      ]
  }
"""  # noqa: E501  # as it came

NO_GROUP = rb"""  {
      "report": [
      ]
      ,
      "log": [
          {"log_seq_num":"1", "log_type":"error", "log_context":"processing", "log_message":"Volume group \"nosuch\" not found", "log_ret_code":"0"},
          {"log_seq_num":"2", "log_type":"error", "log_context":"processing", "log_message":"Cannot process volume group nosuch", "log_ret_code":"0"},
          {"log_seq_num":"4", "log_type":"status", "log_context":"shell", "log_message":"failure", "log_ret_code":"5"}
      ]
  }
"""  # noqa: E501  # as it came

CREATED = rb"""  {
      "log": [
          {"log_seq_num":"1", "log_type":"print", "log_context":"processing", "log_message":"Logical volume \"vol-a\" created.", "log_ret_code":"0"},
          {"log_seq_num":"3", "log_type":"warn", "log_context":"processing", "log_message":"WARNING: This metadata update is NOT backed up.", "log_ret_code":"0"},
          {"log_seq_num":"4", "log_type":"status", "log_context":"shell", "log_message":"success", "log_ret_code":"1"}
      ]
  }
"""  # noqa: E501  # as it came

REMOVED_WITHOUT_STATUS = rb"""  {
      "log": [
          {"log_seq_num":"1", "log_type":"print", "log_context":"processing", "log_message":"Logical volume \"vol-a\" successfully removed.", "log_ret_code":"0"}
      ]
  }
"""  # noqa: E501  # as it came

FREED_MEMORY = b"""  {
      "log": [
          {"log_seq_num":"4", "log_type":"warn", "log_object_group":"nt = 1

segment1 {
type = \\"striped\\"
}
}
\xb0\x01", "log_context":"processing", "log_message":"WARNING: This metadata update is NOT backed up.", "log_ret_code":"0"},
          {"log_seq_num":"5", "log_type":"status", "log_context":"shell", "log_message":"success", "log_ret_code":"1"}
      ]
  }
"""  # noqa: E501  # as it came


def refused(*messages: str, status: int = 5) -> bytes:
    """The answer to a command that failed with these messages."""
    row = '          {"log_seq_num":"1", "log_type":"%s", "log_context":"%s", "log_message":"%s", "log_ret_code":"%d"}'
    rows = [row % ("error", "processing", message.replace('"', '\\"'), 0) for message in messages]
    rows.append(row % ("status", "shell", "failure", status))
    return ('  {\n      "log": [\n' + ",\n".join(rows) + "\n      ]\n  }\n").encode()
