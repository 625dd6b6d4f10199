import ArgumentParser
import BrokerClient
import CProcess
import FoundationEssentials
import Glibc

/// `daypass login`
struct Login: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Sign in at the broker, in a browser on this or any other device.",
        discussion: """
            It shows a page of the broker and a code to type there, opens the page where this machine has a browser, and \
            waits until you have approved. From then on daypass token gets tokens as you, until the session ends or you \
            sign out with daypass logout.

            What keeps you signed in is in the desktop's Secret Service where secret-tool reaches one, else in a file of \
            mode 0600 in ~/.local/state/daypass (XDG_STATE_HOME). An earlier sign-in at the same broker is ended; where that \
            fails, it says so.

            Ends with 1 where the broker refuses, 2 for wrong usage, 69 where the broker does not answer, 77 where nobody \
            approves, or somebody denies.

            Example: daypass login --url https://daypass.example.com
            """)

    @OptionGroup var options: SignInOptions

    @Flag(name: .customLong("no-browser"), help: "Open no browser.")
    var isWithoutBrowser = false

    func run() async throws {
        _ = daypass_keep_memory_private()
        let environment = ProcessInfo.processInfo.environment.filter { !$0.value.isEmpty }
        let (origin, signIn) = try options.place(in: environment)
        do throws(TokenFailure) {
            let asked = try await signIn.begin(device: Self.device)
            show(asked)
            if !isWithoutBrowser, Browser.isHere(environment), Browser.open(asked.page, environment) {
                Terminal.note("Opening the page in your browser.")
            }
            let saved = try await signIn.finish(asked) { Terminal.warn($0) }
            let who = saved.email.map { " as \($0)" } ?? ""
            Terminal.print(ReadableText.escaped("signed in at \(origin)\(who)"))
        } catch {
            throw CommandFailure(error)
        }
    }

    private func show(_ asked: DeviceAuthorization) {
        if let notice = asked.notice { Terminal.note("\(ReadableText.escaped(notice))\n") }
        let minutes = max(1, asked.lifetime.components.seconds / 60)
        Terminal.note(
            """
            To sign in, go to

                \(asked.page)

            on this or any other device, and type the code

                \(asked.userCode)

            It lasts for \(minutes) min. Waiting until you have approved. Where the page shows an error instead, stop with
            Ctrl-C: its words and its reference are for whoever runs the broker.
            """)
    }

    /// What this machine calls itself.
    private static var device: String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "" }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
