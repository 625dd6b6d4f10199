import BrokerClient

/// The browser of whoever sits at this machine.
enum Browser {
    /// Whether there is a screen here, and the person is likely to sit before it.
    static func isHere(_ environment: [String: String]) -> Bool {
        let isRemote = ["SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY"].contains { environment[$0] != nil }
        return !isRemote && ["DISPLAY", "WAYLAND_DISPLAY"].contains { environment[$0] != nil }
    }

    /// Starts `xdg-open` and waits for nothing. Ctrl-C here does not reach it.
    /// - Parameter page: an http or https URL.
    /// - Returns: whether it could be started.
    static func open(_ page: String, _ environment: [String: String]) -> Bool {
        ChildProgram.leave("xdg-open", [page], environment)
    }
}
