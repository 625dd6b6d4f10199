/// An identity token that a program of the CI provider prints.
enum ProgramToken {
    static func token(
        _ name: String, _ arguments: [String], _ environment: [String: String], within time: Duration
    ) throws(TokenFailure) -> TokenText {
        let shown = "`\(name) \(arguments.prefix(2).joined(separator: " "))`"
        let outcome = try ChildProgram.run(name, arguments, environment, within: time)
        guard outcome.status == 0 else {
            let line = String(decoding: outcome.error, as: UTF8.self).split(whereSeparator: \.isNewline).last ?? ""
            throw .noIdentity(
                "\(shown) ends with \(outcome.status): \(TokenText.hidden(in: String(line), secrets(environment)))")
        }
        guard let token = TokenText(String(decoding: outcome.output, as: UTF8.self).trimmingLineEnd()) else {
            throw .noIdentity("\(shown) prints no token")
        }
        return token
    }
}

extension ProgramToken {
    /// What the environment holds that is nobody else's: programs of providers have secrets of their own there.
    private static func secrets(_ environment: [String: String]) -> [TokenText] {
        let marks = ["TOKEN", "SECRET", "PASSWORD", "KEY"]
        return environment.compactMap { name, value in
            value.utf8.count >= 8 && marks.contains(where: name.contains) ? TokenText(value) : nil
        }
    }
}
