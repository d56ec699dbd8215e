"""How an application's processes are kept running: by supervisord or by systemd."""
