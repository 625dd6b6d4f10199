internal import Broker

/// `server.admin`
enum AdminSection {
    static func administration(
        _ node: YAMLNode, files: any ConfigurationFiles, problems: Problems
    ) -> AdministrationConfiguration? {
        let fields = Fields(
            node, "server.admin", known: ["socket", "group", "listen", "tls"], problems: problems)
        guard let fields else { return nil }
        let socket = fields.required("socket").flatMap { Self.socket($0, files, problems) }
        let group = fields["group"].map { Self.group($0, problems) } ?? .some(nil)
        let network = Self.network(fields, files, problems)
        guard let socket, let group, let network else { return nil }
        return AdministrationConfiguration(socketPath: socket, group: group, network: network)
    }

    private static func socket(
        _ node: YAMLNode, _ files: any ConfigurationFiles, _ problems: Problems
    ) -> String? {
        guard let written = node.path(problems, expected: "the path of a socket") else { return nil }
        let path = files.absolutePath(written)
        let maximum = AdministrationConfiguration.maximumPathLength
        guard path.utf8.count <= maximum else {
            return node.refused(
                problems,
                "expected a path of at most \(maximum) bytes, which is all that the system has room for: "
                    + "\(path.quoted) has \(path.utf8.count)")
        }
        return path
    }

    /// The name alone: whether there is such a group, the host on which the broker runs knows.
    private static func group(_ node: YAMLNode, _ problems: Problems) -> String?? {
        let expected = "the name of a group, such as daypass-admins"
        guard let text = node.text(problems, expected: expected) else { return nil }
        let isName = { (byte: UInt8) in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                || [0x2D, 0x2E, 0x5F].contains(byte)
        }
        guard (1...64).contains(text.utf8.count), text.utf8.allSatisfy(isName) else {
            return node.refused(problems, "expected \(expected)")
        }
        return .some(text)
    }

    /// - Returns: nil where it is refused, and a nil in it where there is none.
    private static func network(
        _ fields: Fields, _ files: any ConfigurationFiles, _ problems: Problems
    ) -> AdministrationConfiguration.Network?? {
        switch (fields["listen"], fields["tls"]) {
        case (nil, nil): return .some(nil)
        case (let listen?, let tls?):
            let address = ServerSection.listenAddress(listen, problems)
            let listener = TLSSection.listener(
                tls, "server.admin.tls", forwards: false, files: files, problems: problems)
            guard let address, let listener else { return nil }
            return .some(AdministrationConfiguration.Network(address: address, tls: listener))
        case (let listen?, nil):
            return listen.refused(
                problems, "expected server.admin.tls beside it: tokens for administration travel over TLS alone")
        case (nil, let tls?):
            return tls.refused(problems, "expected server.admin.listen beside it")
        }
    }
}
