import Foundation

/// A file system in memory in place of one folder of a workspace, for one program and what fills it.
struct SmallDisk {
    let workspace: Workspace
    /// What happens to it step by step: a name, and a line of the shell. Each step waits for a file with its name, and
    /// leaves one with `.done`.
    let steps: [(name: String, line: String)]
    /// Where it is mounted, in the workspace.
    let folder: String
    /// As mount(8) takes it: `80m`.
    let size: String

    /// Whether this machine lets whoever runs the tests mount one.
    static func isPossible() async throws -> Bool {
        let mount = ["unshare", "-Urm", "mount", "-t", "tmpfs", "none", "/mnt"]
        return try await RunningProcess("/usr/bin/env", mount).outcome().status == 0
    }

    /// What the program's own command stands behind. What is in the folder moves to the disk.
    var wrapper: [String] {
        let lines = steps.map { "await \($0.name); \($0.line); touch \($0.name).done" }
        let script = """
            cd "$0" && mkdir -p \(folder) && cp -r \(folder) kept && mount -t tmpfs -o size=\(size) none \(folder) || exit 1
            cp -r kept/. \(folder) || exit 1
            await() { n=0; while [ ! -e $1 ]; do n=$((n + 1)); [ $n -lt 2400 ] || exit 1; sleep 0.05; done; }
            (\(lines.joined(separator: "\n"))
            ) > /dev/null 2>&1 &
            exec "$@"
            """
        return ["/usr/bin/env", "unshare", "-Urm", "/bin/sh", "-c", script, workspace.path("")]
    }

    /// Lets a step happen.
    func reach(_ step: String) async throws {
        try workspace.write(step, "")
        try await waitUntil("the disk is \(step)") {
            FileManager.default.fileExists(atPath: workspace.path(step + ".done"))
        }
    }
}
