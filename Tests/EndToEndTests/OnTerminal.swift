import Foundation
import Testing

/// A terminal of 80 columns for one program.
enum OnTerminal {
    /// For Python: runs a program on it, answers with $ANSWER where there is one, and prints what it prints.
    static let script = """
        import os, pty, sys, fcntl, termios, struct
        pid, terminal = pty.fork()
        if pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
            os.execv(sys.argv[1], sys.argv[1:])
        # The terminal shows what is typed.
        if "ANSWER" in os.environ:
            os.write(terminal, (os.environ["ANSWER"] + "\\n").encode())
        output = b""
        while True:
            try:
                read = os.read(terminal, 65536)
            except OSError:
                break
            if not read:
                break
            output += read
        os.write(1, output)
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """

    /// What `daypass` prints on it, each line at its end without the carriage return.
    static func daypass(_ arguments: [String], socket: String) async throws -> RunningProcess.Outcome {
        let outcome = try await AdministeredBroker.daypass(
            arguments, ["DAYPASS_SOCKET": socket, "TERM": "dumb"],
            through: [try #require(Programs.python), "-c", script])
        return RunningProcess.Outcome(
            status: outcome.status, output: outcome.output.replacing("\r\n", with: "\n"), error: outcome.error)
    }
}
