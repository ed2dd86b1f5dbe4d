#include "cli/password.h"

#include <errno.h>
#include <mbedtls/platform_util.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define MODULE "password"

/* One line without its end; unbuffered, so that no copy of it stays in a buffer of stdio. */
static int read_line(FILE *in, char out[PASSWORD_BYTES], struct err *e)
{
    setvbuf(in, NULL, _IONBF, 0);
    if (!fgets(out, PASSWORD_BYTES, in))
        return err_set(e, OL_EINVAL, MODULE, "the password is empty");
    size_t len = strcspn(out, "\r\n");
    if (len == PASSWORD_BYTES - 1)
        return err_set(e, OL_ELIMIT, MODULE, "the password is longer than %d bytes", PASSWORD_BYTES - 2);
    out[len] = 0;
    return len ? 0 : err_set(e, OL_EINVAL, MODULE, "the password is empty");
}

static int read_file(const char *path, char out[PASSWORD_BYTES], struct err *e)
{
    FILE *in = fopen(path, "re");
    if (!in)
        return err_set(e, OL_EIO, MODULE, "cannot read the password file %s: %s", path, strerror(errno));
    int rc = read_line(in, out, e);
    fclose(in);
    return rc == 0 ? 0 : err_prefix(e, "%s", path);
}

static int ask(FILE *terminal, const char *prompt, char out[PASSWORD_BYTES], struct err *e)
{
    struct termios before, quiet;
    int fd = fileno(terminal);
    if (tcgetattr(fd, &before) != 0)
        return err_set(e, OL_EIO, MODULE, "the terminal cannot be read: %s", strerror(errno));
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    fputs(prompt, terminal);
    fflush(terminal);
    tcsetattr(fd, TCSAFLUSH, &quiet);
    int rc = read_line(terminal, out, e);
    tcsetattr(fd, TCSAFLUSH, &before);
    fputc('\n', terminal);
    return rc;
}

int password_read(const char *file, const char *prompt, bool confirm, char out[PASSWORD_BYTES], struct err *e)
{
    char again[PASSWORD_BYTES];
    if (!file)
        file = getenv("OPENLORA_PASSWORD_FILE");
    if (file && *file)
        return read_file(file, out, e);
    FILE *terminal = fopen("/dev/tty", "r+e");
    if (!terminal)
        return err_set(e, OL_EINVAL, MODULE, "no terminal to ask for the password; give --password-file FILE");
    int rc = ask(terminal, prompt, out, e);
    if (rc == 0 && confirm) {
        rc = ask(terminal, "Once more: ", again, e);
        if (rc == 0 && strcmp(out, again) != 0)
            rc = err_set(e, OL_EINVAL, MODULE, "the two passwords differ; try again");
        mbedtls_platform_zeroize(again, sizeof again);
    }
    fclose(terminal);
    return rc;
}
