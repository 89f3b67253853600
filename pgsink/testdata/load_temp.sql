CREATE TEMPORARY TABLE "hcbridge_load" (ord bigint, sfid text, v0 text, v1 text, v2 text, v3 text, v4 text) ON COMMIT DROP
