# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# fish completion for uhmm: the program is asked.
function __uhmm_options
    uhmm help (commandline -opc)[2] 2>/dev/null |
        string match -r -a -- '--[a-z][a-z-]*' | sort -u
end

complete -c uhmm -f
complete -c uhmm -n __fish_use_subcommand -a '(uhmm --list-commands)'
complete -c uhmm -n __fish_use_subcommand -l help -d 'Print all commands'
complete -c uhmm -n __fish_use_subcommand -l version -d 'Print the version'
complete -c uhmm -n '__fish_seen_subcommand_from help' \
    -a '(uhmm --list-commands)'
complete -c uhmm -n 'not __fish_use_subcommand' -a '(__uhmm_options)'
complete -c uhmm -n '__fish_seen_subcommand_from explore' \
    -a '(uhmm explore --list 2>/dev/null | cut -f1)'
complete -c uhmm -n '__fish_seen_subcommand_from explore replay run watch' -F
