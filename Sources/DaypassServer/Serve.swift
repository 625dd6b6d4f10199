import ArgumentParser
import Broker
import BrokerConfigurationYAML
import Foundation
import Logging

/// `daypassd serve`: the broker itself, until it is told to stop.
struct Serve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serve until SIGTERM or SIGINT, then finish what is under way and exit with 0.",
        discussion: """
            Logs are JSON, a line each, on standard error. SIGHUP has the configuration read again: rules, issuers and \
            trust domains are put into force, all or none; everything else needs a restart.

            Listening sockets that systemd, or whoever else starts it, has opened for it take the place of the configured \
            ones (sd_listen_fds(3)): they are named public, telemetry and admin.

            Example: daypassd serve --config config/daypass.yaml
            """)

    @OptionGroup var options: ConfigurationOptions

    @Option(name: .long, help: "The least level that is logged: trace, debug, info, notice, warning, error.")
    var logLevel = LogLevel.info

    @Flag(
        name: .long,
        help: "Serve although the clock is more than 5 minutes before the last audit record: it was ahead then.")
    var acceptEarlierClock = false

    mutating func run() async throws {
        // One that comes before anybody listens to it must not end the process; what it asks for is being done.
        signal(SIGHUP, SIG_IGN)
        let environment = ProcessInfo.processInfo.environment
        let sockets = try Activation.sockets(in: environment)
        var logger = Logger(label: "daypassd") { _ in JSONLogHandler() }
        logger.logLevel = logLevel.level
        let (configuration, notes) = try ConfigurationFile.read(options.path)
        for note in notes { logger.warning("\(note)") }
        try Activation.check(sockets, against: configuration)
        let path = options.path
        let daemon = try await Daemon(
            configuration, acceptsEarlierClock: acceptEarlierClock,
            reading: { () throws(ConfigurationErrors) in try ConfigurationReader().read(path: path) }, logger: logger)
        logger.notice("starting", metadata: ["version": "\(BuildVersion.text)", "configuration": "\(options.path)"])
        try await daemon.run(
            stoppingOnSignals: true, sockets: sockets, notifying: environment["NOTIFY_SOCKET"])
        logger.notice("stopped")
    }
}

/// The levels of `--log-level`.
enum LogLevel: String, ExpressibleByArgument, CaseIterable {
    case trace, debug, info, notice, warning, error

    var level: Logger.Level { Logger.Level(rawValue: rawValue) ?? .info }
}
