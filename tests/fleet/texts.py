"""The configuration of a host's daemons, as text. Nothing here touches the machine."""

BARE_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
PUPPET_PLACES = {"confdir": "etc", "vardir": "var", "codedir": "code", "rundir": "run", "logdir": "log"}


def sshd_config(folder, address, port, use_pam):
    """Return sshd_config(5) for one host: keys only, its own host key and authorized keys, whoever runs it.

    With SHLVL=2 bash does not take the session for a login that reads the developer's ~/.bashrc: a server has nothing in it.
    """
    return f"""\
ListenAddress {address}
Port {port}
HostKey {folder}/ssh/host_ed25519
PidFile {folder}/ssh/sshd.pid
AuthorizedKeysFile {folder}/ssh/authorized_keys
StrictModes no
UsePAM {"yes" if use_pam else "no"}
AuthenticationMethods publickey
PermitRootLogin prohibit-password
UseDNS no
PrintMotd no
PrintLastLog no
MaxStartups 200
LogLevel VERBOSE
SetEnv SHLVL=2
ForceCommand {folder}/bin/session
"""


def session_script(folder):
    """Return what sshd runs for each command: the command on a bare machine's PATH, whatever the user's profile put there.

    Temporary files of a session are the host's, so that what a command leaves that was killed goes with its host.
    """
    return f"""\
#!/bin/sh
PATH={BARE_PATH}
TMPDIR={folder}/tmp
export PATH TMPDIR
if [ -z "$SSH_ORIGINAL_COMMAND" ]; then exec /bin/sh -l; fi
exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"""


def nginx_config(folder, user):
    """Return nginx.conf for one host: sites from sites/, and a socket of its own where it answers 204 when it is up."""
    return f"""\
{f"user {user};" if user else ""}
daemon off;
worker_processes 1;
pid {folder}/nginx/nginx.pid;
error_log {folder}/log/nginx-error.log notice;
events {{ worker_connections 512; }}
http {{
    access_log {folder}/log/nginx-access.log;
    client_body_temp_path {folder}/nginx/body;
    proxy_temp_path {folder}/nginx/proxy;
    fastcgi_temp_path {folder}/nginx/fastcgi;
    uwsgi_temp_path {folder}/nginx/uwsgi;
    scgi_temp_path {folder}/nginx/scgi;
    server_tokens off;
    server_names_hash_bucket_size 128;
    server {{
        listen unix:{folder}/nginx/alive.sock;
        return 204;
    }}
    include {folder}/nginx/sites/*.conf;
}}
"""


def supervisord_config(folder, name):
    """Return supervisord.conf for one host: programs from supervisor/programs/, a unix socket for supervisorctl."""
    return f"""\
[supervisord]
identifier={name}
logfile={folder}/log/supervisord.log
pidfile={folder}/supervisor/supervisord.pid
childlogdir={folder}/log

[unix_http_server]
file={folder}/supervisor/supervisor.sock
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{folder}/supervisor/supervisor.sock

[include]
files={folder}/supervisor/programs/*.conf
"""


def supervisor_script(interpreter, vendor, program):
    """Return a script that runs `program` (supervisord or supervisorctl) from the vendored package and leaves no trace of
    that in the environment of the applications.
    """
    return f"""\
#!{interpreter} -IS
import sys
sys.path.insert(0, {str(vendor)!r})
from supervisor.{program} import main
main()
"""


def puppet_script(folder):
    """Return a script that runs the machine's puppet, which keeps what it keeps in one host's folder."""
    places = " ".join(f'--{name} "{folder}/puppet/{place}"' for name, place in PUPPET_PLACES.items())
    return f"""\
#!/bin/sh
exec puppet "$@" {places}
"""
