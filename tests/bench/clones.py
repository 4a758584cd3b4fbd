# SPDX-License-Identifier: MIT
# For tests/bench/clones: BACKEND BINARY, a VM `src` runs.
import json, os, resource, shutil, socket, statistics, subprocess, sys, time

backend, binary = sys.argv[1:]
ROUNDS, MANY = 12, 50


def run(*cmd):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(cmd, check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return 1e3 * wall, 1e3 * (after.ru_utime + after.ru_stime -
                              before.ru_utime - before.ru_stime)


def row(what, wall, cpu, of=None):
    ratio = f'  {wall / of:6.2f} x {binary_name} alone' if of else ''
    print(f'{what:<44} {wall:9.2f} ms {cpu:7.2f} ms CPU{ratio}', flush=True)


def alone():
    """Firecracker by hand: started, loaded, resumed; ms."""
    start = time.perf_counter()
    p = subprocess.Popen([binary, '--api-sock', 'a', '--log-path', 'log',
                          '--level', 'Error'], stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL)
    s = socket.socket(socket.AF_UNIX)
    while s.connect_ex('a'):
        time.sleep(0.0003)
    for method, path, body in (
            ('PUT', '/snapshot/load', {
                'snapshot_path': 'vmstate', 'track_dirty_pages': True,
                'mem_backend': {'backend_type': 'File',
                                'backend_path': 'mem'}}),
            ('PATCH', '/vm', {'state': 'Resumed'})):
        text = json.dumps(body)
        s.sendall((f'{method} {path} HTTP/1.1\r\nContent-Length: '
                   f'{len(text)}\r\n\r\n{text}').encode())
        assert b' 204 ' in s.recv(4096), path
    wall = 1e3 * (time.perf_counter() - start)
    p.kill()
    p.wait()
    os.unlink('a')
    return wall


def floor(snap):
    os.mkdir('alone')
    os.chdir('alone')
    subprocess.run(['cp', '-r', '--sparse=always', snap + '/.', '.'],
                   check=True)
    os.mkdir('layers')
    for name in os.listdir('.'):
        if name.startswith('layers-'):
            os.rename(name, 'layers/' + name[7:])
    with open('seed.iso', 'wb') as f:
        f.truncate(61440)
    ms = statistics.median(alone() for _ in range(ROUNDS))
    os.chdir('..')
    shutil.rmtree('alone')
    return ms


os.chdir(os.environ['BATS_TEST_TMPDIR'])
binary_name = {'fc': 'Firecracker', 'ch': 'Cloud Hypervisor'}[backend]
row(f'{backend}: snapshot save', *run('cocoon', 'snapshot', 'save', '--name',
                                     's', 'src'))
of = None
if backend == 'fc':
    of = floor(os.path.realpath(os.environ['COCOON_ROOT_DIR'] +
                                '/snap-name/s'))
    row('fc: Firecracker alone, load and resume', of, 0, of)
one = []
for _ in range(ROUNDS):
    one.append(run('cocoon', 'vm', 'clone', '--name', 'c', 's'))
    run('cocoon', 'vm', 'rm', '--force', 'c')
row(f'{backend}: vm clone', *(statistics.median(x) for x in zip(*one)), of)
many = run('cocoon', 'vm', 'clone', '--name', 'm', '-n', str(MANY), 's')
row(f'{backend}: vm clone -n {MANY}, a clone', *(x / MANY for x in many), of)
run('cocoon', 'vm', 'rm', '--force', *(f'm-{i + 1}' for i in range(MANY)))
row(f'{backend}: vm restore', *run('cocoon', 'vm', 'restore', 'src', 's'), of)
