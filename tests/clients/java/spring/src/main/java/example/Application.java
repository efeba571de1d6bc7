package example;

import java.util.Map;
import java.util.TreeMap;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.security.core.Authentication;
import org.springframework.security.oauth2.core.oidc.user.OidcUser;
import org.springframework.security.oauth2.server.resource.authentication.BearerTokenAuthentication;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationToken;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/**
 * A page behind Spring Security as Spring Boot configures it by itself: its properties alone decide whether the application signs users
 * in, or is a resource server for JWTs or for opaque tokens.
 */
@SpringBootApplication
@RestController
public class Application {
    public static void main(String[] arguments) {
        SpringApplication.run(Application.class, arguments);
    }

    /** The user of the session, or of the access token. */
    @GetMapping("/")
    Map<String, Object> caller(Authentication caller) {
        Map<String, Object> answer = new TreeMap<>();
        answer.put("name", caller.getName());
        answer.put("authorities", caller.getAuthorities().stream().map(Object::toString).sorted().toList());
        answer.put("claims", claims(caller));
        return answer;
    }

    private static Map<String, Object> claims(Authentication caller) {
        if (caller instanceof JwtAuthenticationToken jwt) {
            return jwt.getTokenAttributes();
        }
        if (caller instanceof BearerTokenAuthentication opaque) {
            return opaque.getTokenAttributes();
        }
        return caller.getPrincipal() instanceof OidcUser user ? user.getClaims() : Map.of();
    }
}
