/// Where the broker is administered.
package struct AdministrationConfiguration: Sendable, Hashable {
    /// A Unix socket's path has no more bytes (unix(7): 108 with the zero at its end).
    package static let maximumPathLength = 107

    /// Absolute. Its folder is the broker's own.
    package var socketPath: String
    /// The group whose members may use the socket too; nil where only root and the broker's own user may.
    package var group: String?
    /// The listener for tokens with the broker's own scopes; nil where there is none.
    package var network: Network?

    package struct Network: Sendable, Hashable {
        package var address: ListenAddress
        package var tls: ListenerTLS

        package init(address: ListenAddress, tls: ListenerTLS) {
            self.address = address
            self.tls = tls
        }
    }

    package init(socketPath: String, group: String? = nil, network: Network? = nil) {
        self.socketPath = socketPath
        self.group = group
        self.network = network
    }
}
