// Runners of tests side by side, each a process of its own that prints '✓ name' or '✗ name: reason' and ends with 'N passed, N failed'.

/**
 * Follows a child whose standard output is a pipe to its end. `line` gets each line whole, as it comes, but for the summary.
 * {code, summary}: `summary` is {passed, failed}, or null where the child ended without one.
 */
export function follow(child, line) {
  return new Promise((resolve) => {
    let rest = '', summary = null;
    const take = (text) => {
      const counts = /^(\d+) passed, (\d+) failed/.exec(text);
      if (counts) summary = { passed: (summary?.passed ?? 0) + Number(counts[1]), failed: (summary?.failed ?? 0) + Number(counts[2]) };
      else line(text);
    };
    child.stdout.setEncoding('utf8');
    child.stdout.on('data', (data) => {
      const lines = (rest + data).split('\n');
      rest = lines.pop();
      lines.forEach(take);
    });
    child.on('error', (error) => take(`✗ ${error.message}`));
    child.on('close', (code, signal) => {
      if (rest) take(rest);
      resolve({ code: code ?? signal, summary });
    });
  });
}
