# SPDX-License-Identifier: LGPL-2.1-only OR BSD-2-Clause
# bash completion for uhmm: the program is asked.
_uhmm()
{
	local word=${COMP_WORDS[COMP_CWORD]} words

	if [ "$COMP_CWORD" = 1 ]; then
		words="$(uhmm --list-commands 2>/dev/null)"
		words="$words --help --version --list-commands"
	elif [ "${COMP_WORDS[1]}" = help ]; then
		words="$(uhmm --list-commands 2>/dev/null)"
	else
		words="$(uhmm help "${COMP_WORDS[1]}" 2>/dev/null |
			grep -o -e '--[a-z][a-z-]*' | sort -u) --help"
		[ "${COMP_WORDS[1]}" != explore ] ||
			words="$words $(uhmm explore --list 2>/dev/null | cut -f1)"
	fi
	COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _uhmm uhmm
